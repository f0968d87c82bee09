'use strict'

// A template such as `git log ${ref}` as a command of type `exec`: no shell reads it. What is written is cut into words
// as a shell would cut it, and what only a shell could do with it is refused. A value is an argument or a part of one,
// whatever it holds.

const { argument, describe, refuse } = require('./checkers')
const { seenFrom } = require('./error')

const { isArray } = Array

const PLAIN_WORDS =
  "plain words, and in quotes what a shell would obey (for a shell to read it, use { type: 'shell' } with quote())"

/** What means something to a shell where it stands without quotes. */
const OBEYED = /[|&;<>()$`*?[]/
/** `{a,b}` and `{1..3}`; without a comma or dots, as in `stash@{0}`, braces are text. */
const BRACES = /\{.*(?:,|\.\.).*\}/s
/** What means something to it at the beginning of a word. */
const OBEYED_FIRST = /^[~#]/
/** A variable that is set for the command, and `!`, which turns its end round. */
const OBEYED_BEFORE = /^(?:[A-Za-z_]\w*=|!$)/
/** What a backslash between double quotes takes the meaning of. */
const ESCAPED_IN_QUOTES = new Set(['$', '`', '"', '\\', '\n'])

/** Stands in `bare` for text that no shell would look into. */
const HIDDEN = '\0'

class Words {
  /** @type {string[]} */
  #words = []
  /** The word that is being read: nothing, or its text so far. @type {string | undefined} */
  #word
  /** The same, of which only what stands without quotes can be seen. */
  #bare = ''
  /** @type {'' | '"' | "'"} */
  #quote = ''
  /** A list has to stand alone: its path, while its word is open. @type {string | undefined} */
  #list
  /** The line of the command has ended. */
  #isOver = false

  /** @param {string} char @param {string} [bare] */
  #add(char, bare = HIDDEN) {
    if (this.#list !== undefined) refuseList(this.#list)
    if (this.#isOver) this.#refuse('\n')
    this.#word = (this.#word ?? '') + char
    this.#bare += bare
  }

  #endWord() {
    this.#list = undefined
    if (this.#word === undefined) return
    const isFirst = this.#words.length === 0
    const found = [BRACES, OBEYED_FIRST, ...(isFirst ? [OBEYED_BEFORE] : [])]
      .map((obeyed) => obeyed.exec(this.#bare)?.[0])
      .find((part) => part !== undefined)
    if (found !== undefined) refuse('template', PLAIN_WORDS, JSON.stringify(found.replaceAll(HIDDEN, '…')))
    this.#words.push(this.#word)
    this.#word = undefined
    this.#bare = ''
  }

  /** Before and behind the command a line may end, but none begins another one. */
  #endLine() {
    this.#endWord()
    this.#isOver = this.#words.length > 0
  }

  /** Reads what is written in the template. @param {string} text */
  write(text) {
    for (let i = 0; i < text.length; i++) {
      const char = /** @type {string} */ (text[i])
      if (this.#quote !== '') i += this.#writeQuoted(char, text[i + 1])
      else if (char === '\\') i += this.#writeEscaped(text[i + 1])
      else if (char === '"' || char === "'") this.#open(char)
      else if (char === ' ' || char === '\t') this.#endWord()
      else if (char === '\n') this.#endLine()
      else if (OBEYED.test(char)) this.#refuse(char)
      else this.#add(char, char)
    }
  }

  /** @param {'"' | "'"} quote */
  #open(quote) {
    this.#quote = quote
    // Nothing between quotes is a word as well.
    this.#add('')
  }

  /** @param {string} char @param {string | undefined} next @returns {number} how many more were read */
  #writeQuoted(char, next) {
    if (char === this.#quote) {
      this.#quote = ''
    } else if (this.#quote === "'") {
      this.#add(char)
    } else if (char === '\\' && next !== undefined && ESCAPED_IN_QUOTES.has(next)) {
      this.#add(next === '\n' ? '' : next)
      return 1
    } else if (char === '$' || char === '`') {
      this.#refuse(char)
    } else {
      this.#add(char)
    }
    return 0
  }

  /** @param {string | undefined} next @returns {number} how many more were read */
  #writeEscaped(next) {
    if (next === undefined) this.#refuse('\\')
    // The line goes on in the next one.
    if (next !== '\n') this.#add(/** @type {string} */ (next))
    return 1
  }

  /** @type {(found: string) => never} */
  #refuse(found) {
    return refuse('template', PLAIN_WORDS, JSON.stringify(found))
  }

  /** @param {unknown} value @param {string} path */
  insert(value, path) {
    if (!isArray(value)) {
      this.#add(wordOf(value, path))
      return
    }
    if (this.#word !== undefined || this.#list !== undefined) refuseList(path)
    if (this.#isOver) this.#refuse('\n')
    this.#list = path
    const { length } = value
    // A plain loop sees the holes that `map` skips.
    for (let i = 0; i < length; i++) this.#words.push(wordOf(value[i], `${path}[${i}]`))
  }

  end() {
    if (this.#quote !== '') refuse('template', `a ${this.#quote} that ends what one begins`, 'none')
    this.#endWord()
    return this.#words
  }
}

/** @type {(path: string) => never} */
function refuseList(path) {
  return refuse(path, 'an array with spaces around it, as it is several arguments', 'one within a word')
}

/** @param {unknown} value @param {string} path */
function wordOf(value, path) {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value)
  if (typeof value === 'string') return argument(value, path)
  return refuse(path, 'a string, a number or an array of these', describe(value))
}

/**
 * @param {TemplateStringsArray} template
 * @param {unknown[]} values
 */
function read(template, values) {
  // As they are written: a backslash is for who reads the words, and not for JavaScript.
  const raw = template?.raw
  if (!isArray(raw)) refuse('template', 'a template, as in sh`git log`', describe(template))
  const words = new Words()
  raw.forEach((text, i) => {
    words.write(argument(text, 'template'))
    if (i < raw.length - 1) words.insert(values[i], `values[${i}]`)
  })
  return words.end()
}

/**
 * @param {TemplateStringsArray} template
 * @param {...unknown} values
 */
function sh(template, ...values) {
  try {
    const [program, ...args] = read(template, values)
    if (program === undefined || program === '') refuse('template', 'a program', 'none')
    return { type: /** @type {const} */ ('exec'), program: /** @type {string} */ (program), args }
  } catch (error) {
    throw seenFrom(error, sh)
  }
}

module.exports = { sh }
