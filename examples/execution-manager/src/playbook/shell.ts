// A parameter may not become code. In the text of a shell it is a variable of the step, in double quotes, and nowhere
// where the shell reads it once more; a parser of that language says where each variable stands.

import { createRequire } from 'node:module'
import { Language, type Node, Parser } from 'web-tree-sitter'

/** The shells whose language the parser knows. */
const posix = /^(?:.*\/)?(?:sh|bash|dash|ksh|zsh)$/

const anyShell = /^(?:.*[/\\])?(?:sh|bash|dash|ksh|zsh|ash|fish|csh|tcsh|pwsh|powershell|cmd|busybox)(?:\.exe)?$/i

export const isPosixShell = (shell: string | undefined): boolean =>
  shell === undefined ? process.platform !== 'win32' : posix.test(shell)

const require = createRequire(import.meta.url)

await Parser.init()
const parser = new Parser()
parser.setLanguage(await Language.load(require.resolve('tree-sitter-bash/tree-sitter-bash.wasm')))

/** What reads all of its arguments as code; `ssh` has them read by a shell elsewhere. */
const evaluates = new Set(['eval', 'source', '.', 'trap', 'let', 'ssh'])

/** @returns what is wrong with how a variable is used, or undefined. */
function misuse(variable: Node): string | undefined {
  const expansion = variable.parent
  if (expansion === null || expansion.type === 'variable_assignment') return undefined
  if (expansion.type !== 'simple_expansion' && expansion.type !== 'expansion') return 'is read as an expression there'
  if (expansion.children.some((child) => child.type === '!')) return 'names another variable there'
  for (let node: Node = expansion, around = node.parent; around !== null; node = around, around = node.parent) {
    const message = misuseIn(around, node)
    if (message !== undefined) return message
  }
  return expansion.parent?.type === 'string' ? undefined : 'has to stand in double quotes'
}

/** What `around` makes of a variable that is somewhere in `node`, one of its children. */
function misuseIn(around: Node, node: Node): string | undefined {
  switch (around.type) {
    case 'arithmetic_expansion':
    case 'subscript':
      return 'is read as an expression there'
    case 'binary_expression':
      return comparesNumbers(around) ? 'is read as an expression there' : undefined
    case 'heredoc_body':
      return 'may not stand in a here-document: print it into a pipe'
    case 'command_name':
      return 'is the name of a command there'
    case 'command':
      return isReadAgain(around, node) ? 'is read once more there: let what is started read the variable' : undefined
    default:
      return undefined
  }
}

function isReadAgain(command: Node, argument: Node): boolean {
  const words = command.children.filter((child) => child.type !== 'variable_assignment')
  const [program = '', ...args] = words.map((word) => word.text)
  return evaluates.has(program) || isShellText(program, args, words.findIndex((word) => word.id === argument.id) - 1)
}

/** Numbers are read as expressions in `[[ ]]`, and not in `[ ]`. */
function comparesNumbers(node: Node): boolean {
  if (!node.children.some((child) => /^-(?:eq|ne|lt|le|gt|ge)$/.test(child.text))) return false
  for (let around: Node | null = node; around !== null; around = around.parent) {
    if (around.type === 'test_command') return around.text.startsWith('[[')
  }
  return false
}

/** What is wrong with how a text uses a variable, or undefined. */
function variableFault(node: Node, given: ReadonlySet<string>, parameters: ReadonlySet<string>): string | undefined {
  const name = node.text
  if (given.has(name)) {
    const message = misuse(node)
    return message === undefined ? undefined : `$${name} ${message}`
  }
  if (!parameters.has(name) || node.parent?.type === 'variable_assignment') return undefined
  return `a parameter gets in here as a variable alone: add "${name}": { "param": "${name}" } to env`
}

/**
 * What is wrong with the text of a shell, given the variables that hold what others have said, and the names of
 * parameters, which are no variables.
 */
export function shellFaults(text: string, given: ReadonlySet<string>, parameters: ReadonlySet<string>): string[] {
  const tree = parser.parse(text)
  if (tree === null || (given.size > 0 && tree.rootNode.hasError)) {
    tree?.delete()
    return ['cannot be read as the text of a shell, so nobody knows what is quoted in it']
  }
  const variables = tree.rootNode.descendantsOfType('variable_name')
  const found = variables.map((node) => variableFault(node, given, parameters)).filter((fault) => fault !== undefined)
  tree.delete()
  return [...new Set(found)]
}

/**
 * Whether an argument is what a shell is to run: the first one behind `-c`; of `cmd` and PowerShell all that follow. What
 * comes behind it are the arguments of that text, which are no code.
 */
export function isShellText(program: string, args: readonly unknown[], index: number): boolean {
  const words = [program, ...args].map((word) => (typeof word === 'string' ? word : ''))
  const shell = words.findIndex((word) => anyShell.test(word))
  const option = words.findIndex((word, i) => i > shell && /^(?:-[a-z]*c|-command|-encodedcommand|\/[ck])$/i.test(word))
  if (shell === -1 || option === -1 || index + 1 <= option) return false
  if (!posix.test(words[shell] ?? '')) return true
  return words.findIndex((word, i) => i > option && !word.startsWith('-')) === index + 1
}
