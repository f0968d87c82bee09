// oxlint-disable no-control-regex -- Control characters are what this file is about.

// Operating-system commands (titles, links), then all other sequences but colours, then what is left of control characters.
const NO_COLOUR =
  /\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b\[[\x30-\x3f]*[\x20-\x2f]*[\x40-\x6c\x6e-\x7e]|\x1b[^[\]]|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]/g
const ANY = /\x1b\[[\x30-\x3f]*[\x20-\x2f]*[\x40-\x7e]|\x1b/g
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f]/
/** More of a line than this is not drawn. It is in the download. */
const MAX_DRAWN = 20_000

/** What a terminal would show of a line in the end, with its colours: what a `\r` overwrites is gone. */
export function drawn(text: string): string {
  const cut = text.length > MAX_DRAWN ? `${text.slice(0, MAX_DRAWN)} … ${String(text.length - MAX_DRAWN)} more` : text
  if (!CONTROL.test(cut)) return cut
  const last = cut.replace(/\r+$/, '')
  return last.slice(last.lastIndexOf('\r') + 1).replace(NO_COLOUR, '')
}

/** The same without colours: what is searched, copied and measured. */
export function plain(text: string): string {
  const line = drawn(text)
  return line.includes('\x1b') ? line.replace(ANY, '') : line
}

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}]/u
const ASCII = /^[\x20-\x7e]*$/
export const TAB = 8

/** How many rows of `columns` cells a line takes when it is wrapped between any two characters. */
export function rows(text: string, columns: number): number {
  const line = plain(text)
  if (ASCII.test(line)) return Math.max(1, Math.ceil(line.length / columns))
  let cells = 0
  for (const character of line) {
    if (character === '\t') cells += TAB - (cells % TAB)
    else cells += WIDE.test(character) ? 2 : 1
  }
  return Math.max(1, Math.ceil(cells / columns))
}
