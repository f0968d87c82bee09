// The server that the tests of the queue have found or installed.

interface Found {
  readonly serverProgram: () => unknown
}

const isFound = (module: unknown): module is Found =>
  typeof module === 'object' &&
  module !== null &&
  'serverProgram' in module &&
  typeof module.serverProgram === 'function'

export async function redisProgram(): Promise<string> {
  const module: unknown = await import(new URL('../../../queue/test/support/server-program.mjs', import.meta.url).href)
  if (!isFound(module)) throw new Error('expected the tests of the queue to say which server they use')
  return String(module.serverProgram())
}
