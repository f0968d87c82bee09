// The log of a worker: one line per event, for people or for programs.

/** How much an event matters. */
export type Level = 'info' | 'warning' | 'error'

/** What an event is about, beside its message. */
export type Fields = Readonly<Record<string, string | number | boolean | null | undefined>>

export type Log = (level: Level, message: string, fields?: Fields) => void

/** No text of another program breaks a line of the log, or writes to the terminal in its place. */
const oneLine = (text: string): string =>
  text.replace(/[\p{Cc}\u2028\u2029]/gu, (character) => JSON.stringify(character).slice(1, -1))

function shown(value: NonNullable<Fields[string]>): string {
  const text = oneLine(String(value))
  return /^[\w.:/+@-]+$/.test(text) ? text : JSON.stringify(text)
}

/** A log to `write`, which is called with whole lines. */
export function newLog(asJson: boolean, write: (line: string) => void): Log {
  return (level, message, fields = {}) => {
    const time = new Date().toISOString()
    if (asJson) {
      write(`${JSON.stringify({ time, level, message, ...fields })}\n`)
      return
    }
    const words = Object.entries(fields)
      .filter(([, value]) => value !== undefined && value !== null)
      .map(([name, value]) => ` ${name}=${shown(value as NonNullable<Fields[string]>)}`)
    write(`${time} ${level.padEnd(7)} ${oneLine(message)}${words.join('')}\n`)
  }
}
