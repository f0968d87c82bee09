import { logOf } from '../run/service.js'
import type { Lines } from './lines.js'
import type { Source } from './source.js'
import { plain } from './text.js'

/** The newest lines that are held, as text without colours, and how many of how many they are. */
export function heldText(source: Source, lines: Lines): { readonly text: string; readonly copied: number } {
  const texts: string[] = []
  for (let index = source.end - 1; index >= source.first; index -= 1) {
    const place = source.at(index)
    const line = place && lines.peek(place.step, place.index)
    if (!place || !line) break
    texts.push(source.steps === 'many' ? `${place.step}\t${plain(line.text)}` : plain(line.text))
  }
  return { text: texts.toReversed().join('\n'), copied: texts.length }
}

export async function copy(text: string): Promise<void> {
  if (isSecureContext) {
    await navigator.clipboard.writeText(text)
    return
  }
  // Where the service is reached over plain HTTP, browsers give a page no clipboard, but let it copy a selection.
  const field = document.createElement('textarea')
  field.value = text
  document.body.append(field)
  field.select()
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- There is nothing else in such a page.
  const copied = document.execCommand('copy')
  field.remove()
  if (!copied) throw new Error('The browser does not let the page copy')
}

/** Saves whole logs as one file. With several, each has a heading. */
export async function download(
  run: string,
  steps: readonly string[],
  file: string,
  onProgress: (pages: number) => void,
): Promise<void> {
  const parts: string[] = []
  for (const step of steps) {
    if (steps.length > 1) parts.push(`==> ${step} <==\n`)
    for await (const part of logOf(run, step)) {
      parts.push(part)
      onProgress(parts.length)
    }
  }
  const url = URL.createObjectURL(new Blob(parts, { type: 'text/plain' }))
  const link = document.createElement('a')
  link.href = url
  link.download = file
  link.click()
  setTimeout(() => {
    URL.revokeObjectURL(url)
  }, 60_000)
}
