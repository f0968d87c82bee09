import { ExecutionError } from '@escher-dbai/execution-engine'
import type { Connections } from '../redis/connections'
import { messageOf, shutDown } from '../errors'

/** Waits for Redis, but not for ever. */
export class Answers {
  readonly #connections: Connections
  readonly #timeoutMs: number
  isShutDown = false

  constructor(connections: Connections, timeoutMs: number) {
    this.#connections = connections
    this.#timeoutMs = timeoutMs
  }

  /**
   * What a question comes to.
   *
   * Rejects with `IO` when Redis refuses, or does not answer in time; with `SHUT_DOWN` after that. `hint` says what that
   * means for the caller.
   */
  async of<T>(question: () => Promise<T>, about: { readonly id?: string; readonly hint?: string } = {}): Promise<T> {
    if (this.isShutDown) throw shutDown()
    const release = this.#connections.hold()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(this.#failure(`did not answer within ${this.#timeoutMs} ms`, about)),
        this.#timeoutMs,
      )
    })
    try {
      return await Promise.race([question(), late])
    } catch (error) {
      throw this.failed(error, about)
    } finally {
      clearTimeout(timer)
      release()
    }
  }

  /** What the caller is told of an error. */
  failed(error: unknown, about: { readonly id?: string; readonly hint?: string } = {}): ExecutionError {
    if (this.isShutDown) return shutDown()
    if (error instanceof ExecutionError) return error
    return this.#failure(`did not do what was asked: ${messageOf(error)}`, about)
  }

  #failure(problem: string, { id, hint }: { readonly id?: string; readonly hint?: string }): ExecutionError {
    const { lastError } = this.#connections
    const reason = lastError === undefined ? '' : `: ${lastError.message || lastError.name}`
    const message = `Redis ${problem}${reason}${hint === undefined ? '' : `; ${hint}`}`
    return new ExecutionError('IO', message, { executionId: id })
  }
}
