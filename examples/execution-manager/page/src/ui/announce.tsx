import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'

import { Signal } from '../run/signal.js'

const changed = new Signal()
let last = ''

/** Says something to those who do not see the page, and shortly to those who do. */
export function announce(text: string): void {
  last = text
  changed.tell()
}

const SHOWN_MS = 4_000

export function Announcer(): JSX.Element {
  const [text, set] = useState('')
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const off = changed.on(() => {
      set(last)
      clearTimeout(timer)
      timer = setTimeout(() => {
        set('')
      }, SHOWN_MS)
    })
    return () => {
      clearTimeout(timer)
      off()
    }
  }, [])
  return (
    <div class="announcer" role="status" aria-live="polite">
      {text !== '' && <span>{text}</span>}
    </div>
  )
}
