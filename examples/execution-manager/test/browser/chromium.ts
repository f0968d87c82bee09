// Which Chromium the tests drive: the machine's own; else, as root on Debian and its like, the distribution's package;
// else the one that `@sparticuz/chromium` carries, which is installed when it is needed: it has some 70 MB.

import { execFile } from 'node:child_process'
import { access, constants, mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

import { chromium, type Browser, type LaunchOptions } from 'playwright-core'
import { Type } from 'typebox'
import { Check } from 'typebox/value'

const run = promisify(execFile)
const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'chrome', 'microsoft-edge']
const ELSEWHERE = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  'C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe',
]
const isRoot = process.getuid?.() === 0

/** Starts a browser. `CHROMIUM` names another one. */
export async function launch(): Promise<Browser> {
  const options = await found()
  // Chromium's sandbox does not work for root.
  return chromium.launch({ ...options, args: [...(options.args ?? []), ...(isRoot ? ['--no-sandbox'] : [])] })
}

async function found(): Promise<LaunchOptions> {
  const path = process.env['CHROMIUM'] ?? (await installed()) ?? (await fromDistribution())
  if (path !== undefined) return { executablePath: path }
  return carried()
}

const Carried = Type.Object({ executablePath: Type.String(), args: Type.Array(Type.String()) })

const TELL = `
import chromium from '@sparticuz/chromium'
console.log(JSON.stringify({ executablePath: await chromium.executablePath(), args: chromium.args }))
`

async function carried(): Promise<LaunchOptions> {
  const folder = join(tmpdir(), 'execution-manager-chromium')
  await mkdir(folder, { recursive: true })
  await run('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', '@sparticuz/chromium'], {
    maxBuffer: 1e8,
  })
  const { stdout } = await run('node', ['--input-type=module', '--eval', TELL], { cwd: folder })
  const told: unknown = JSON.parse(stdout)
  if (!Check(Carried, told)) throw new Error(`expected a path and arguments, found ${stdout}`)
  return told
}

async function installed(): Promise<string | undefined> {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  for (const path of [...NAMES.flatMap((name) => folders.map((folder) => join(folder, name))), ...ELSEWHERE]) {
    if (await isProgram(path)) return path
  }
  return undefined
}

async function fromDistribution(): Promise<string | undefined> {
  if (!isRoot || !(await isProgram('/usr/bin/apt-get'))) return undefined
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  try {
    await run('apt-get', ['update'], { env })
    await run('apt-get', ['install', '-y', '--no-install-recommends', 'chromium'], { env, maxBuffer: 1e8 })
  } catch {
    // No network, or no such package: the last way is left.
  }
  return installed()
}

async function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
