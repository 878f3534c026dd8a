// What the golden files of tests/golden/dialects are made of: for each case the provider's answer,
// and each dialect's request; a dialect without `streamed` has no streams.

// One pixel, red.
export const png =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC';
const url = `data:image/png;base64,${png}`;

const schema = {
  type: 'object',
  properties: { city: { type: 'string', description: 'Name of the city' } },
  required: ['city'],
};
const weather = { name: 'get_weather', description: 'Current weather of a city' };
const call = (city) => ({ name: 'get_weather', arguments: JSON.stringify({ city }) });

// What the provider does (mock_provider.mjs). broken: fails behind its first words.
export const cases = {
  text: { behaviour: 'answer', text: 'The capital of "Norway" is Oslo.\n', chunks: 3 },
  tool: { behaviour: 'tool-call', calls: [call('Paris')], cachedTokens: 4 },
  parallel: { behaviour: 'tool-call', calls: [call('Paris'), call('Rome')] },
  image: { behaviour: 'answer', text: 'A red dot.', chunks: 2 },
  reasoning: { behaviour: 'reasoning', text: 'Oslo.', chunks: 1 },
  allowed: { behaviour: 'tool-call', calls: [call('Paris')] },
  logprobs: { behaviour: 'answer', text: 'It is Oslo.', chunks: 2 },
  declined: { behaviour: 'refusal' },
  error: { behaviour: 'error', status: 429, retryAfter: 7, message: 'slow down' },
  broken: { behaviour: 'error-inside', after: 2, message: 'overloaded' },
  refused: { behaviour: 'answer' },
  list: { behaviour: 'answer', dimensions: 2 },
  base64: { behaviour: 'answer' },
};

const question = 'What is the capital of Norway?';
const user = (content) => [{ role: 'user', content }];

// Two questions; behind the first one call with its result.
const dialogue = (called, result) => [
  ...user('How warm is it in Oslo?'),
  { role: 'assistant', ...called },
  result,
  ...user('And in Paris and Rome?'),
];

const openai = (fields) => ({ model: 'gpt-4o', ...fields });
const openaiTools = [{ type: 'function', function: { ...weather, parameters: schema } }];
const otherTool = { name: 'get_time' }; // one that is not allowed
const openaiCall = { id: 'call_1', type: 'function', function: call('Oslo') };

const openaiChat = {
  target: '/v1/chat/completions',
  streamed: { stream: true, stream_options: { include_usage: true } },
  whole: {},
  requests: {
    text: openai({
      messages: [{ role: 'system', content: 'Be brief.' }, ...user(question)],
      max_completion_tokens: 64,
      temperature: 0.5,
      top_p: 0.9,
      stop: ['\n\n'],
      seed: 7,
    }),
    tool: openai({ messages: user('How warm is it in Paris?'), tools: openaiTools }),
    parallel: openai({
      messages: dialogue(
        { content: null, tool_calls: [openaiCall] },
        { role: 'tool', tool_call_id: 'call_1', content: '12 degrees' },
      ),
      tools: openaiTools,
    }),
    image: openai({
      messages: user([
        { type: 'text', text: 'What is this?' },
        { type: 'image_url', image_url: { url, detail: 'high' } },
      ]),
    }),
    reasoning: openai({ messages: user(question), reasoning_effort: 'high' }),
    allowed: openai({
      messages: user('How warm is it in Paris?'),
      tools: [{ type: 'function', function: otherTool }, ...openaiTools],
      tool_choice: {
        type: 'allowed_tools',
        allowed_tools: {
          mode: 'required',
          tools: [{ type: 'function', function: { name: 'get_weather' } }],
        },
      },
    }),
    logprobs: openai({ messages: user(question), logprobs: true, top_logprobs: 1 }),
    declined: openai({ messages: user(question), logprobs: true }),
    error: openai({ messages: user(question) }),
    broken: openai({ messages: user(question) }),
    refused: openai({ messages: user(question), audio: { voice: 'alloy', format: 'wav' } }),
  },
};

const openaiCompletions = {
  target: '/v1/completions',
  streamed: { stream: true, stream_options: { include_usage: true } },
  whole: {},
  requests: {
    text: openai({
      prompt: question,
      max_tokens: 64,
      temperature: 0.5,
      top_p: 0.9,
      stop: ['\n\n'],
      seed: 7,
    }),
    reasoning: openai({ prompt: question, max_tokens: 64 }),
    declined: openai({ prompt: question }),
    error: openai({ prompt: question }),
    broken: openai({ prompt: question }),
    refused: openai({ prompt: question, suffix: 'the end' }),
  },
};

const openaiResponses = {
  target: '/v1/responses',
  streamed: { stream: true },
  whole: {},
  requests: {
    text: openai({
      instructions: 'Be brief.',
      input: question,
      max_output_tokens: 64,
      temperature: 0.5,
      top_p: 0.9,
      metadata: { team: 'a' },
    }),
    tool: openai({
      input: 'How warm is it in Paris?',
      tools: [{ type: 'function', ...weather, parameters: schema, strict: true }],
    }),
    parallel: openai({
      input: [
        ...user('How warm is it in Oslo?'),
        { type: 'function_call', call_id: 'call_1', ...call('Oslo') },
        { type: 'function_call_output', call_id: 'call_1', output: '12 degrees' },
        ...user('And in Paris and Rome?'),
      ],
      tools: [{ type: 'function', ...weather, parameters: schema, strict: true }],
    }),
    image: openai({
      input: user([
        { type: 'input_text', text: 'What is this?' },
        { type: 'input_image', image_url: url, detail: 'low' },
      ]),
    }),
    reasoning: openai({ input: question, reasoning: { effort: 'high' } }),
    allowed: openai({
      input: 'How warm is it in Paris?',
      tools: [
        { type: 'function', ...otherTool },
        { type: 'function', ...weather, parameters: schema },
      ],
      tool_choice: {
        type: 'allowed_tools',
        mode: 'required',
        tools: [{ type: 'function', name: 'get_weather' }],
      },
    }),
    logprobs: openai({
      input: question,
      include: ['message.output_text.logprobs'],
      top_logprobs: 1,
    }),
    declined: openai({ input: question }),
    error: openai({ input: question }),
    broken: openai({ input: question }),
    refused: openai({ input: question, background: true }),
  },
};

const anthropic = (fields) => ({ model: 'claude-sonnet-4-5', max_tokens: 64, ...fields });
const anthropicTools = [{ ...weather, input_schema: schema }];
const use = { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { city: 'Oslo' } };

const anthropicMessages = {
  target: '/v1/messages',
  headers: { 'anthropic-version': '2023-06-01', 'x-api-key': 'none' },
  streamed: { stream: true },
  whole: {},
  requests: {
    text: anthropic({
      system: 'Be brief.',
      messages: user(question),
      temperature: 0.5,
      top_p: 0.9,
      stop_sequences: ['\n\n'],
    }),
    tool: anthropic({ messages: user('How warm is it in Paris?'), tools: anthropicTools }),
    parallel: anthropic({
      messages: dialogue(
        { content: [use] },
        {
          role: 'user',
          content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: '12 degrees' }],
        },
      ),
      tools: anthropicTools,
    }),
    image: anthropic({
      messages: user([
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } },
        { type: 'text', text: 'What is this?' },
      ]),
    }),
    reasoning: anthropic({
      messages: user(question),
      max_tokens: 2048,
      thinking: { type: 'enabled', budget_tokens: 1024 },
      output_config: { effort: 'high' }, // neither is sent on
    }),
    declined: anthropic({ messages: user(question) }),
    error: anthropic({ messages: user(question) }),
    broken: anthropic({ messages: user(question) }),
    refused: anthropic({ messages: user(question), container: 'c' }),
  },
};

const ollama = (fields) => ({ model: 'llama3.2', ...fields });
const options = { num_predict: 64, temperature: 0.5, top_p: 0.9, seed: 7, stop: ['\n\n'] };

const ollamaChat = {
  target: '/api/chat',
  streamed: {},
  whole: { stream: false },
  requests: {
    text: ollama({
      messages: [{ role: 'system', content: 'Be brief.' }, ...user(question)],
      options,
    }),
    tool: ollama({ messages: user('How warm is it in Paris?'), tools: openaiTools }),
    parallel: ollama({
      messages: dialogue(
        {
          content: '',
          tool_calls: [{ function: { name: 'get_weather', arguments: { city: 'Oslo' } } }],
        },
        { role: 'tool', tool_name: 'get_weather', content: '12 degrees' },
      ),
      tools: openaiTools,
    }),
    image: ollama({ messages: [{ role: 'user', content: 'What is this?', images: [png] }] }),
    reasoning: ollama({ messages: user(question), think: true }),
    declined: ollama({ messages: user(question) }),
    error: ollama({ messages: user(question) }),
    broken: ollama({ messages: user(question) }),
    refused: ollama({ messages: user(question), options: { mirostat: 2 } }),
  },
};

const ollamaGenerate = {
  target: '/api/generate',
  streamed: {},
  whole: { stream: false },
  requests: {
    text: ollama({ system: 'Be brief.', prompt: question, options }),
    image: ollama({ prompt: 'What is this?', images: [png] }),
    reasoning: ollama({ prompt: question, think: true }),
    declined: ollama({ prompt: question }),
    error: ollama({ prompt: question }),
    broken: ollama({ prompt: question }),
    refused: ollama({ prompt: question, raw: true }),
  },
};

// Vectors come in one piece alone.
const openaiEmbeddings = {
  target: '/v1/embeddings',
  whole: {},
  requests: {
    text: openai({ input: question, encoding_format: 'float', user: 'u1' }),
    list: openai({ input: ['cold', 'warm'] }),
    base64: openai({ input: ['cold', 'warm'], encoding_format: 'base64', dimensions: 3 }),
    error: openai({ input: question }),
    refused: openai({ input: question, encoding_format: 'int8' }),
  },
};

const ollamaEmbed = {
  target: '/api/embed',
  whole: {},
  requests: {
    text: ollama({ input: question, truncate: true }),
    list: ollama({ input: ['cold', 'warm'] }),
    error: ollama({ input: question }),
    refused: ollama({ input: question, options: { mirostat: 2 } }),
  },
};

const ollamaEmbeddings = {
  target: '/api/embeddings',
  whole: {},
  requests: {
    text: ollama({ prompt: question }),
    error: ollama({ prompt: question }),
    refused: ollama({ prompt: [question] }),
  },
};

export const dialects = {
  openai_chat: openaiChat,
  openai_completions: openaiCompletions,
  openai_responses: openaiResponses,
  anthropic_messages: anthropicMessages,
  ollama_chat: ollamaChat,
  ollama_generate: ollamaGenerate,
  openai_embeddings: openaiEmbeddings,
  ollama_embed: ollamaEmbed,
  ollama_embeddings: ollamaEmbeddings,
};
