// How names and documentation of Rust become those of TypeScript.

/** @typedef {Record<string, any>} Schema */

/** @param {string} name as Rust spells it */
export function camel(name) {
  const spelled = name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase())
  // What is passed is spelled back when it is checked.
  const back = spelled.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  if (back !== name) throw new Error(`${name} would become ${spelled}, and that ${back}`)
  return spelled
}

/** @param {string} name such as `plan_completed` */
export const pascal = (name) => name.replace(/(?:^|_)([a-z])/g, (_, letter) => letter.toUpperCase())

/** The links of Rust, such as [`ExecutionConfig::log_dir`](crate::ExecutionConfig::log_dir). */
const LINK = /\[`(\w+)(?:::(\w+))?`\](?:\([^)]*\))?/g

/**
 * Documentation, one string per paragraph.
 *
 * @param {string | undefined} description
 * @param {(type: string, member: string | undefined) => string} link
 */
export function paragraphs(description, link) {
  const text = (description ?? '').replace(LINK, (_, type, member) => link(type, member && camel(member)))
  return text
    .split('\n\n')
    .map((paragraph) => paragraph.replaceAll('\n', ' '))
    .filter((paragraph) => paragraph !== '')
}

/** For a place where nothing can be linked. @param {string | undefined} description */
export const plainText = (description) =>
  paragraphs(description, (type, member) => `\`${member === undefined ? type : `${type}.${member}`}\``).join('\n\n')

/**
 * A comment, in lines that fit.
 *
 * @param {string[]} parts paragraphs and lists
 * @param {string} indent
 */
export function comment(parts, indent) {
  const lines = parts.flatMap((part, index) => {
    const isItem = part.startsWith('- ')
    const isApart = index > 0 && !(isItem && parts[index - 1]?.startsWith('- '))
    return [...(isApart ? [''] : []), ...wrapped(part, 117 - indent.length, isItem ? '  ' : '')]
  })
  const [first] = lines
  if (first === undefined) return ''
  if (lines.length === 1 && first.length + indent.length <= 113) return `${indent}/** ${first} */\n`
  return [`${indent}/**`, ...lines.map((line) => `${indent} * ${line}`.trimEnd()), `${indent} */`].join('\n') + '\n'
}

/** @param {string} text @param {number} width @param {string} hanging what further lines begin with */
function wrapped(text, width, hanging) {
  const lines = ['']
  // A link is one word.
  for (const word of text.match(/\{@link [^}]*\}\S*|\S+/g) ?? []) {
    const line = /** @type {string} */ (lines.at(-1))
    if (line.trim() === '') lines[lines.length - 1] = line + word
    else if (line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(hanging + word)
  }
  return lines
}
