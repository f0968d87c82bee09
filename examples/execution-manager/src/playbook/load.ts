// Playbooks in files.

import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { PlaybookInfo, StepInfo } from '../api.js'
import { checkPlaybook } from './check.js'
import { PlaybookError, Source } from './faults.js'
import { parameterInfos } from './parameters.js'
import type { Playbook } from './schema.js'

export interface LoadedPlaybook {
  readonly playbook: Playbook
  /** What the directories of its steps are relative to. */
  readonly directory: string
}

/** @throws {@link PlaybookError}, or the error of the system for a file that cannot be read. */
export async function loadPlaybook(file: string): Promise<LoadedPlaybook> {
  const source = new Source(file, await readFile(file, 'utf8'))
  const checked = checkPlaybook(source.value())
  if ('broken' in checked) {
    throw new PlaybookError(checked.broken.map(({ path, message }) => source.fault(path, message)))
  }
  return { playbook: checked.playbook, directory: dirname(resolve(file)) }
}

/** All playbooks of a directory, by name, and what is wrong with its other files. */
export interface Library {
  readonly playbooks: ReadonlyMap<string, LoadedPlaybook>
  readonly problems: readonly string[]
}

/** The schema itself may lie beside the playbooks. */
const isPlaybookFile = (name: string): boolean => name.endsWith('.json') && !name.endsWith('.schema.json')

export async function loadLibrary(directory: string): Promise<Library> {
  const playbooks = new Map<string, LoadedPlaybook>()
  const problems: string[] = []
  const files = (await readdir(directory)).filter(isPlaybookFile).sort()
  for (const file of files.map((name) => join(directory, name))) {
    try {
      const loaded = await loadPlaybook(file)
      const { name } = loaded.playbook
      if (playbooks.has(name)) problems.push(`${file}:1:1: name: another file has a playbook ${name} already`)
      else playbooks.set(name, loaded)
    } catch (error) {
      problems.push(error instanceof PlaybookError ? error.message : `${file}: ${String(error)}`)
    }
  }
  return { playbooks, problems }
}

function stepInfos(playbook: Playbook): StepInfo[] {
  return Object.entries(playbook.steps).map(([name, { command, dependsOn, when, allowFailure }]) => ({
    name,
    type: command.type,
    dependsOn: [...(dependsOn ?? [])],
    when: when ?? 'success',
    allowFailure: allowFailure ?? false,
  }))
}

export function playbookInfo(playbook: Playbook): PlaybookInfo {
  const { name, title, description = '' } = playbook
  return {
    name,
    ...(title !== undefined && { title }),
    description,
    parameters: parameterInfos(playbook),
    steps: stepInfos(playbook),
  }
}
