// Who may use the service: on the loopback the programs of this machine, but no page of a stranger in their browsers;
// elsewhere who has the token.

import { createHash, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { SignIn } from '../api.js'

const cookieName = 'execution_manager'

/** The service may not listen like that. */
export class TokenError extends Error {}

/** @throws {@link TokenError} for an address that everybody can reach, and no token. */
export function expectToken(host: string, token: string | undefined): void {
  if (token !== undefined && token.length < 8) throw new TokenError('expected a token of at least eight characters')
  if (token === undefined && !isLoopback(host)) {
    throw new TokenError(`expected a token, as others than this machine can reach ${host}`)
  }
}

export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[(.*)\]$/, '$1')
  return name === 'localhost' || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'))
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** In a time that tells nothing of the token. */
const isSame = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b))

function givenTokens({ headers }: FastifyRequest): string[] {
  const bearer = /^Bearer +(.+)$/i.exec(headers.authorization ?? '')?.[1]
  const cookies = (headers.cookie ?? '').split(';').map((pair) => pair.trim().split('='))
  const cookie = cookies.find(([name]) => name === cookieName)?.[1]
  return [bearer, cookie === undefined ? undefined : decode(cookie)].filter((one) => one !== undefined)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return ''
  }
}

/** A page of another origin says where it is from; one that has this name resolved to this machine says another name. */
function isStranger({ headers }: FastifyRequest, token: string | undefined): boolean {
  const host = headers.host ?? ''
  if (token === undefined && !isLoopback(host.replace(/:\d+$/, ''))) return true
  const { origin } = headers
  if (origin === undefined) return false
  return !URL.canParse(origin) || new URL(origin).host !== host
}

/** The routes that need no token. The last one is of the files of the page, which asks for it. */
const open = new Set<string | undefined>(['/healthz', '/login', '/*'])

export class Refusal extends Error {
  constructor(
    readonly statusCode: number,
    readonly code: string,
    message: string,
    readonly field?: string,
  ) {
    super(message)
  }
}

export function guard(server: FastifyInstance, token: string | undefined): void {
  server.addHook('onRequest', async (request) => {
    if (isStranger(request, token)) throw new Refusal(403, 'FORBIDDEN', 'a page of another origin may not do that')
    if (token === undefined || open.has(request.routeOptions.url)) return
    if (!givenTokens(request).some((given) => isSame(given, token))) {
      throw new Refusal(
        401,
        'UNAUTHORIZED',
        'expected the token, as `Authorization: Bearer TOKEN`, or /login?token=TOKEN',
      )
    }
  })
  server.addHook('onSend', async (_request, reply) => {
    reply.header('x-content-type-options', 'nosniff')
    reply.header('referrer-policy', 'no-referrer')
    reply.header('content-security-policy', "default-src 'self'; frame-ancestors 'none'; base-uri 'none'")
  })
  signIn(server, token)
}

function signIn(server: FastifyInstance, token: string | undefined): void {
  const routes = server.withTypeProvider<TypeBoxTypeProvider>()
  const accept = (given: string | undefined, request: FastifyRequest, reply: FastifyReply): boolean => {
    if (token === undefined) return true
    if (given === undefined || !isSame(given, token)) return false
    const secure = request.protocol === 'https' ? '; Secure' : ''
    reply.header('set-cookie', `${cookieName}=${encodeURIComponent(token)}; Path=/; HttpOnly; SameSite=Strict${secure}`)
    return true
  }
  routes.post('/login', { schema: { body: SignIn } }, (request, reply) => {
    if (!accept(request.body.token, request, reply)) throw new Refusal(401, 'UNAUTHORIZED', 'that is not the token')
    reply.code(204).send()
  })
  // A link that signs in: the browser keeps what is behind its `#`. Whoever comes with a wrong one is asked by the page.
  routes.get('/login', { schema: { querystring: Type.Partial(SignIn) } }, (request, reply) => {
    accept(request.query.token, request, reply)
    reply.redirect('/')
  })
}
