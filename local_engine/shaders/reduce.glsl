// Sums, maxima, minima over a workgroup, for any subgroup size. Call in uniform control flow only.
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

shared float reduce_part[GROUP]; // one per subgroup; a subgroup may be as small as one thread

float group_sum(float v)
{
    v = subgroupAdd(v);
    if (gl_NumSubgroups == 1)
        return v;
    barrier(); // the previous reduction has been read by all
    if (subgroupElect())
        reduce_part[gl_SubgroupID] = v;
    barrier();
    float sum = 0.0;
    for (uint i = 0; i < gl_NumSubgroups; i++)
        sum += reduce_part[i];
    return sum;
}

float group_max(float v)
{
    v = subgroupMax(v);
    if (gl_NumSubgroups == 1)
        return v;
    barrier();
    if (subgroupElect())
        reduce_part[gl_SubgroupID] = v;
    barrier();
    float most = reduce_part[0];
    for (uint i = 1; i < gl_NumSubgroups; i++)
        most = max(most, reduce_part[i]);
    return most;
}

shared uint reduce_index[GROUP];

uint group_min(uint v)
{
    v = subgroupMin(v);
    if (gl_NumSubgroups == 1)
        return v;
    barrier();
    if (subgroupElect())
        reduce_index[gl_SubgroupID] = v;
    barrier();
    uint least = reduce_index[0];
    for (uint i = 1; i < gl_NumSubgroups; i++)
        least = min(least, reduce_index[i]);
    return least;
}
