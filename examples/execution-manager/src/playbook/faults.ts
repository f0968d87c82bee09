// What is wrong with a playbook, and where.

import {
  findNodeAtLocation,
  getNodeValue,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
} from 'jsonc-parser'

export type Path = readonly (string | number)[]

export interface Fault {
  readonly file: string
  /** As in `steps.deploy.command.args[2]`; empty for the whole file. */
  readonly path: string
  readonly message: string
  /** From 1 on. */
  readonly line: number
  readonly column: number
}

/** A file is no playbook. The message has a line for each fault. */
export class PlaybookError extends Error {
  constructor(readonly faults: readonly Fault[]) {
    super(faults.map(describe).join('\n'))
    this.name = 'PlaybookError'
  }
}

function describe({ file, line, column, path, message }: Fault): string {
  return `${file}:${String(line)}:${String(column)}: ${path === '' ? '' : `${path}: `}${message}`
}

export function pathText(path: Path): string {
  return path
    .map((key) => (typeof key === 'number' ? `[${String(key)}]` : `.${key}`))
    .join('')
    .replace(/^\./, '')
}

/** A JSON text that knows where its values stand. */
export class Source {
  readonly #root: Node | undefined
  readonly #syntax: ParseError[] = []

  constructor(
    readonly file: string,
    readonly text: string,
  ) {
    this.#root = parseTree(text, this.#syntax, { disallowComments: true })
  }

  /** @throws {@link PlaybookError} for what is no JSON, or has a key twice. */
  value(): unknown {
    const root = this.#root
    if (this.#syntax.length > 0 || root === undefined) {
      throw new PlaybookError(
        this.#syntax.length > 0
          ? this.#syntax.map(({ error, offset }) =>
              this.#fault(
                '',
                offset,
                `is no JSON: ${printParseErrorCode(error).replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ')}`,
              ),
            )
          : [this.#fault('', 0, 'is empty: expected a playbook')],
      )
    }
    const doubles = [...this.#doubles(root, [])]
    if (doubles.length > 0) throw new PlaybookError(doubles)
    return getNodeValue(root)
  }

  /** A fault at a value, or at the nearest one around it that is there. */
  fault(path: Path, message: string): Fault {
    let offset = 0
    for (let length = path.length; length >= 0 && this.#root !== undefined; length -= 1) {
      const node = findNodeAtLocation(this.#root, [...path.slice(0, length)])
      if (node !== undefined) {
        offset = node.offset
        break
      }
    }
    return this.#fault(pathText(path), offset, message)
  }

  #fault(path: string, offset: number, message: string): Fault {
    const before = this.text.slice(0, offset).split('\n')
    return { file: this.file, path, message, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
  }

  *#doubles(node: Node, path: Path): Generator<Fault> {
    const seen = new Set<string>()
    for (const [i, child] of (node.children ?? []).entries()) {
      if (node.type === 'array') yield* this.#doubles(child, [...path, i])
      if (child.type !== 'property') continue
      const [key, value] = child.children ?? []
      const name = String(key?.value)
      if (seen.has(name)) yield this.#fault(pathText([...path, name]), child.offset, 'is there twice')
      seen.add(name)
      if (value !== undefined) yield* this.#doubles(value, [...path, name])
    }
  }
}
