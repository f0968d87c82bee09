// What each contender does: work in a process of its own, and submit from another.

/** @typedef {{ host: string, port: number }} Connection */

/**
 * @typedef {object} Submitting
 * @property {(program: string, args: string[], onLine?: (line: string) => void) => Promise<void>} run
 *   resolves when the submitter knows that the command has ended well, after its last line
 * @property {() => Promise<void>} close
 */

/**
 * @typedef {object} Contender
 * @property {(connection: Connection, name: string, concurrency: number) => Promise<void>} work resolves when it works
 * @property {(connection: Connection, name: string) => Promise<Submitting>} submit
 */

export {}
