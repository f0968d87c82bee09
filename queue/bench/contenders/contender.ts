// What each contender does: work in a process of its own, and submit from another.

export interface Connection {
  readonly host: string
  readonly port: number
}

export interface Submitting {
  /** Resolves when the submitter knows that the command has ended well, after its last line. */
  readonly run: (program: string, args: string[], onLine?: (line: string) => void) => Promise<void>
  readonly close: () => Promise<void>
}

export interface Contender {
  /** Resolves when it works. */
  readonly work: (connection: Connection, name: string, concurrency: number) => Promise<void>
  readonly submit: (connection: Connection, name: string) => Promise<Submitting>
}
