// The address of a server, as people write it.

import type { RedisOptions } from 'ioredis'

const EXPECTED = 'expected redis://host:port/database, rediss://… or unix:///path'

/** The options of a client; or, as a text, what is wrong, without what was written: it may hold a password. */
export function redisOptions(text: string): RedisOptions | string {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return `${EXPECTED}, found what is no URL`
  }
  let credentials: RedisOptions
  try {
    credentials = {
      ...(url.username !== '' && { username: decodeURIComponent(url.username) }),
      ...(url.password !== '' && { password: decodeURIComponent(url.password) }),
    }
  } catch {
    return `${EXPECTED}, found a user or a password that is not percent-encoded`
  }
  if (url.protocol === 'unix:') return { path: decodeURIComponent(url.pathname), ...credentials }
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') return `${EXPECTED}, found ${url.protocol}//`
  if (url.hostname === '') return `${EXPECTED}, found no host`
  const database = url.pathname.replace(/^\//, '')
  if (!/^\d*$/.test(database)) return `expected the number of a database, found ${JSON.stringify(database)}`
  return {
    // An IPv6 address stands in brackets in a URL, and nowhere else.
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 6379 : Number(url.port),
    ...credentials,
    ...(database !== '' && { db: Number(database) }),
    ...(url.protocol === 'rediss:' && { tls: {} }),
  }
}

/** Where that is, for a log: without credentials. */
export function shownAddress({ host, port, path, db, tls }: RedisOptions): string {
  if (path !== undefined) return `unix://${path}`
  const shown = host?.includes(':') === true ? `[${host}]` : host
  return `${tls === undefined ? 'redis' : 'rediss'}://${shown}:${port}${db === undefined ? '' : `/${db}`}`
}
