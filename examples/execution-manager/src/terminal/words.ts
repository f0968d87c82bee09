// How states and times are told in a terminal.

import { stripVTControlCharacters } from 'node:util'

export function duration(ms: number | null): string {
  if (ms === null) return ''
  if (ms < 1000) return `${String(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.floor(ms / 1000)
  return `${String(Math.floor(seconds / 60))} min ${String(seconds % 60)} s`
}

/** A line that cannot move the cursor. */
export const harmless = (line: string): string =>
  stripVTControlCharacters(line).replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, ' ')

/** Rows with columns of one width each; the last one is as wide as it likes. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
