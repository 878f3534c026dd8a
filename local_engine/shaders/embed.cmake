# cmake -DIN=x.spv -DOUT=x.h -DNAME=x -P embed.cmake: the words of a SPIR-V module as a C array.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1," words "${hex}")
string(REGEX REPLACE "(0x........,0x........,0x........,0x........,0x........,0x........,)" "\\1\n"
  words "${words}")
file(WRITE ${OUT} "static const uint32_t gpu_spirv_${NAME}[] = {\n${words}\n};\n")
