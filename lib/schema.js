'use strict'

// Generated from the types of Rust by `npm run contract`: which keys there are, and of which kind. `lib/check.js` knows
// the kinds; a key with `?` may be absent.

const metadata = {
  expected: 'a metadata object',
  fields: { 'source?': 'text', 'conversationId?': 'text', 'tags?': 'texts' },
}

const command = {
  expected: 'a command object',
  types: {
    exec: { fields: { program: 'path', 'args?': { list: 'text' } } },
    shell: { fields: { command: 'text', 'shell?': 'path' } },
    script: { fields: { path: 'path', 'interpreter?': 'text', 'args?': { list: 'text' } } },
    aws_cli: {
      fields: { service: 'text', operation: 'text', 'args?': { list: 'text' }, 'profile?': 'text', 'region?': 'text' },
    },
  },
}

const retry = {
  expected: 'a retry object',
  fields: {
    attempts: { within: [1, 1000] },
    'delayMs?': 'count',
    'backoff?': { numberOfAtLeast: 1 },
    'maxDelayMs?': 'positive',
    'jitter?': 'flag',
    'exitCodes?': { list: 'count' },
  },
}

const request = {
  expected: 'a request object',
  fields: {
    'id?': 'uuid',
    command: command,
    'env?': 'secretTexts',
    'inheritEnv?': 'inheritEnv',
    'workingDir?': 'path',
    'umask?': 'umask',
    'nice?': { within: [-20, 19] },
    'user?': 'user',
    'stdin?': 'stdin',
    'timeoutMs?': 'positive',
    'terminationGraceMs?': 'positive',
    'logOutput?': 'flag',
    'stdout?': { oneOf: ['capture', 'ignore'], or: { fields: { file: 'path' } } },
    'stderr?': { oneOf: ['capture', 'ignore', 'stdout'], or: { fields: { file: 'path' } } },
    'keepBytes?': 'flag',
    'splitOn?': { oneOf: ['lf', 'cr-or-lf'] },
    'color?': 'flag',
    'stripAnsi?': 'flag',
    'stopSignal?': { oneOf: ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] },
    'idleTimeoutMs?': 'positive',
    'successExitCodes?': { list: 'count' },
    'maxOutputSizeBytes?': 'textSize',
    'group?': 'text',
    'priority?': 'integer',
    'retry?': retry,
    'leaseMs?': 'positive',
    'outputLogPath?': 'text',
    'keepBackground?': 'flag',
    'secrets?': 'secretList',
    'secretEnv?': { list: 'text' },
    'metadata?': metadata,
  },
}

const strategy = {
  expected: 'a strategy object',
  types: {
    serial: { fields: { 'stopOnError?': 'flag' } },
    parallel: { fields: { 'maxConcurrency?': 'positive', 'stopOnError?': 'flag' } },
    dependency_graph: {
      fields: { dependencies: { indices: { list: 'count' } }, 'maxConcurrency?': 'positive', 'stopOnError?': 'flag' },
    },
  },
}

const stepOptions = {
  expected: 'a stepOptions object',
  fields: { 'when?': { oneOf: ['success', 'failure', 'always'] }, 'allowFailure?': 'flag' },
}

const namedStepOptions = {
  expected: 'a stepOptions object',
  fields: {
    'when?': { oneOf: ['success', 'failure', 'always'] },
    'allowFailure?': 'flag',
    'dependsOn?': { list: 'text' },
  },
}

const indexedPlan = {
  expected: 'a plan object',
  fields: {
    'id?': 'uuid',
    'description?': 'text',
    strategy: strategy,
    commands: { list: 'step' },
    'timeoutMs?': 'positive',
    'leaseMs?': 'positive',
    'secrets?': 'secretList',
    'secretEnv?': { list: 'text' },
    'metadata?': metadata,
  },
}

const namedPlan = {
  expected: 'a plan object',
  fields: {
    'id?': 'uuid',
    'description?': 'text',
    steps: { named: 'namedStep' },
    'maxConcurrency?': 'positive',
    'stopOnError?': 'flag',
    'timeoutMs?': 'positive',
    'leaseMs?': 'positive',
    'secrets?': 'secretList',
    'secretEnv?': { list: 'text' },
    'metadata?': metadata,
  },
}

const config = {
  expected: 'a configuration object',
  fields: {
    'defaultTimeoutMs?': 'positive',
    'maxTimeoutMs?': 'positive',
    'maxConcurrentExecutions?': 'positive',
    'maxQueuedExecutions?': 'count',
    'groups?': { record: 'positive' },
    'maxInMemoryExecutions?': 'positive',
    'executionRetentionSecs?': 'positive',
    'enableAutoCleanup?': 'flag',
    'streamOutput?': 'flag',
    'maxOutputSizeBytes?': 'textSize',
    'oversizedOutputStrategy?': { oneOf: ['truncate_with_warning', 'fail_execution', 'stream_to_file'] },
    'maxLineSizeBytes?': { atLeast: 4 },
    'logOutput?': 'flag',
    'logDir?': 'text',
    'maxLogSizeBytes?': 'positive',
    'logRetentionSecs?': 'positive',
    'maxTotalLogBytes?': 'positive',
    'secretEnvPatterns?': { list: 'text' },
    'terminationGraceMs?': 'positive',
    'drainIdleMs?': 'positive',
    'drainMaxMs?': 'positive',
    'orphanProtection?': 'flag',
  },
}

const filter = {
  expected: 'a filter object',
  fields: {
    'status?': { oneOf: ['pending', 'running', 'completed', 'failed', 'cancelled', 'timeout', 'skipped'] },
    'source?': 'text',
    'tag?': 'texts',
    'limit?': 'positive',
  },
}

module.exports = {
  metadata,
  command,
  retry,
  request,
  strategy,
  stepOptions,
  namedStepOptions,
  indexedPlan,
  namedPlan,
  config,
  filter,
}
