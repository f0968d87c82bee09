// Gives the tests the AWS CLI and moto, in a virtual environment of their own that is made once and kept.

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { root, run } from '../../scripts/run.mjs'

declare module 'vitest' {
  interface ProvidedContext {
    /** The directory of the programs of the virtual environment. */
    venvBin: string
  }
}

const venv = join(root, '.cache/aws-venv')
const stamp = join(venv, 'installed')
const requirements = join(root, '__test__/integration/requirements.txt')

/** What the environment is made from: if that has changed, it is made again. */
const wanted = createHash('sha256').update(readFileSync(requirements)).digest('hex')

function isInstalled(): boolean {
  try {
    return readFileSync(stamp, 'utf8') === wanted
  } catch {
    return false
  }
}

async function need(program: string, ...args: string[]): Promise<void> {
  const status = await run(program, args)
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed with exit code ${status}`)
}

export default async function setup(project: TestProject): Promise<void> {
  const bin = join(venv, 'bin')
  if (!isInstalled()) {
    rmSync(venv, { recursive: true, force: true })
    mkdirSync(dirname(venv), { recursive: true })
    await need('python3', '-m', 'venv', venv)
    await need(
      join(bin, 'python'),
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '-r',
      requirements,
    )
    // Last, so that an installation that was broken off is none.
    writeFileSync(stamp, wanted)
  }
  project.provide('venvBin', bin)
}
