import { useEffect, useState } from 'preact/hooks'

/** What the page shows: `#/runs/<id>` and `#/runs/<id>/<step>`. */
export interface Route {
  readonly run: string | undefined
  readonly step: string | undefined
}

export function routeOf(hash: string): Route {
  const [kind, run, step] = hash.replace(/^#\/?/, '').split('/').map(decoded)
  return kind === 'runs' && run ? { run, step: step || undefined } : { run: undefined, step: undefined }
}

export function hashOf({ run, step }: Partial<Route>): string {
  if (run === undefined) return '#/'
  return step === undefined
    ? `#/runs/${encodeURIComponent(run)}`
    : `#/runs/${encodeURIComponent(run)}/${encodeURIComponent(step)}`
}

export function go(route: Partial<Route>, how: 'push' | 'replace' = 'push'): void {
  const hash = hashOf(route)
  if (hash === location.hash) return
  if (how === 'push') location.hash = hash
  else {
    history.replaceState(null, '', hash)
    dispatchEvent(new HashChangeEvent('hashchange'))
  }
}

export function useRoute(): Route {
  const [route, set] = useState(() => routeOf(location.hash))
  useEffect(() => {
    const changed = (): void => {
      set(routeOf(location.hash))
    }
    addEventListener('hashchange', changed)
    return () => {
      removeEventListener('hashchange', changed)
    }
  }, [])
  return route
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
