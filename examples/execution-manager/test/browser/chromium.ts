// Which Chromium the tests drive: the machine's own; else, as root on Debian and its like, the distribution's package;
// else the binary that `@sparticuz/chromium` carries.

import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

import { chromium, type Browser, type LaunchOptions } from 'playwright-core'

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
  const { default: carried } = await import('@sparticuz/chromium')
  return { executablePath: await carried.executablePath(), args: carried.args }
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
