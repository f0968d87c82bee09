// What a release refuses, packs and publishes.

import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { packagePath, temporary } from './support.js'

const root = dirname(packagePath)
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const name: string = manifest.name
const version: string = manifest.version
const platforms = readdirSync(join(root, 'npm'))
const names = [...platforms.map((platform) => `${name}-${platform}`), name]
const tarball = (name: string): string => `${name.replace('@', '').replace('/', '-')}-${version}.tgz`

const changelog = (sections: string) => `# Changelog\n\n${sections}`
const told = changelog(`## [Unreleased]\n\n## [${version}] - 2026-11-21\n\n### Added\n\n- All of it.\n`)

/** A clone that is ready to be released. */
function clone(): string {
  const dir = temporary()
  const files = [...manifest.files.filter((file: string) => !/binding|\.node$/.test(file)), 'package.json', 'npm']
  for (const file of [
    ...files,
    'package-lock.json',
    'Cargo.toml',
    'Cargo.lock',
    'scripts/run.mjs',
    'scripts/release.mjs',
  ]) {
    cpSync(join(root, file), join(dir, file), { recursive: true })
  }
  writeFileSync(join(dir, 'CHANGELOG.md'), told)
  return dir
}

function release(dir: string, args: string[], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(dir, 'scripts/release.mjs'), ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  return { status, stdout, stderr }
}

function edit(dir: string, file: string, change: (text: string) => string) {
  const path = join(dir, file)
  const text = readFileSync(path, 'utf8')
  expect(change(text)).not.toBe(text)
  writeFileSync(path, change(text))
}

describe('check', { timeout: 60_000 }, () => {
  test('all files of this clone name one version', () => {
    expect(release(root, ['check'])).toMatchObject({ status: 0, stderr: '' })
  })

  test('what is ready is not refused', () => {
    expect(release(clone(), ['check', `v${version}`])).toMatchObject({ status: 0, stderr: '' })
  })

  test('a tag of another version is refused, and every file named', () => {
    const { status, stderr } = release(clone(), ['check', 'v99.0.0'])
    expect(status).toBe(1)
    const files = ['package.json', 'package-lock.json', 'Cargo.toml', 'Cargo.lock']
    for (const file of [...files, ...platforms.map((platform) => `npm/${platform}/package.json`)]) {
      expect(stderr).toContain(`${file}: expected version 99.0.0, found ${version}`)
    }
    expect(stderr).toContain('CHANGELOG.md: expected [99.0.0] and its date')
  })

  test.each(['package.json', 'package-lock.json', 'Cargo.toml', 'Cargo.lock', `npm/${platforms[0]}/package.json`])(
    'one file of another version is refused and named: %s',
    (file) => {
      const dir = clone()
      const own = file === 'Cargo.lock' ? /(escher-execution-engine"\nversion = ")[^"]+/ : /("?version"?:? =? ?")[^"]+/
      edit(dir, file, (text) => text.replace(own, '$199.0.0'))
      const { status, stderr } = release(dir, ['check', `v${version}`])
      expect(status).toBe(1)
      expect(stderr).toContain(`${file}: expected version ${version}, found 99.0.0`)
      expect(stderr.split('\n').filter((line) => line.includes('expected'))).toHaveLength(1)
    },
  )

  test.each([
    [
      'no section of the version',
      changelog('## [Unreleased]\n\n## [0.0.1] - 2026-11-21\n\n- Other.\n'),
      'found [0.0.1]',
    ],
    ['no date', changelog(`## [Unreleased]\n\n## [${version}]\n\n- All of it.\n`), `found [${version}]`],
    ['a date that is none', told.replace('11-21', '13-41'), 'and its date'],
    ['changes that were left unreleased', told.replace('\n## [0', '\n- More.\n\n## [0'), 'still tells of changes'],
    ['a section that tells of nothing', told.split('### Added')[0] ?? '', 'tells of no change'],
    ['no place for what comes next', told.replace('## [Unreleased]\n', ''), 'first section to be [Unreleased]'],
  ])('a changelog is refused that has %s', (_, text, message) => {
    const dir = clone()
    writeFileSync(join(dir, 'CHANGELOG.md'), text)
    const { status, stderr } = release(dir, ['check', `v${version}`])
    expect(status).toBe(1)
    expect(stderr).toContain(message)
  })

  test('a tag that names no version is refused', () => {
    expect(release(clone(), ['check', version])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`expected v1.2.3 or v1.2.3-rc.1, found ${version}`),
    })
  })
})

/** What was built for each platform, each in a directory of its own. */
function artifacts(dir: string): string {
  const place = join(dir, 'artifacts')
  for (const platform of platforms) {
    mkdirSync(join(place, platform), { recursive: true })
    writeFileSync(join(place, platform, `execution-engine.${platform}.node`), `built for ${platform}`)
    for (const file of ['binding.js', 'binding.d.ts']) writeFileSync(join(place, platform, file), '// generated\n')
  }
  return place
}

const inside = (file: string, path: string): string =>
  execFileSync('tar', ['-xzOf', file, `package/${path}`], { encoding: 'utf8' })
const listed = (file: string): string[] =>
  execFileSync('tar', ['-tzf', file], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((path) => path.replace('package/', ''))
    .sort()

describe('pack', { timeout: 120_000 }, () => {
  test('each platform has a package, and the main one asks for all of them', () => {
    const dir = clone()
    // What a local build leaves does not get into a release.
    writeFileSync(join(dir, 'execution-engine.linux-x64-gnu.node'), 'built here')
    writeFileSync(join(dir, 'binding.js'), 'built here')
    const before = readFileSync(join(dir, 'package.json'), 'utf8')
    const packages = join(dir, 'packages')
    expect(release(dir, ['pack', artifacts(dir), packages])).toMatchObject({ status: 0 })
    expect(readdirSync(packages).sort()).toEqual(names.map(tarball).sort())
    expect(readFileSync(join(dir, 'package.json'), 'utf8')).toBe(before)

    const licences = ['LICENSE-MIT', 'LICENSE-APACHE', 'THIRD-PARTY-LICENSES']
    for (const platform of platforms) {
      const file = join(packages, tarball(`${name}-${platform}`))
      const addon = `execution-engine.${platform}.node`
      expect(listed(file)).toEqual([...licences, 'README.md', addon, 'package.json'].sort())
      expect(inside(file, addon)).toBe(`built for ${platform}`)
      const own = JSON.parse(readFileSync(join(dir, 'npm', platform, 'package.json'), 'utf8'))
      expect(JSON.parse(inside(file, 'package.json'))).toEqual({
        ...own,
        files: [addon, ...licences],
      })
    }

    const main = join(packages, tarball(name))
    expect(JSON.parse(inside(main, 'package.json'))).toEqual({
      ...manifest,
      files: manifest.files.filter((file: string) => !file.endsWith('.node')),
      optionalDependencies: Object.fromEntries(platforms.map((platform) => [`${name}-${platform}`, version])),
    })
    expect(listed(main).filter((path) => path.endsWith('.node'))).toEqual([])
    expect(inside(main, 'binding.js')).toBe('// generated\n')
  })

  test('nothing is packed when a platform was not built', () => {
    const dir = clone()
    const place = artifacts(dir)
    rmSync(join(place, 'darwin-arm64'), { recursive: true })
    const { status, stderr } = release(dir, ['pack', place, join(dir, 'packages')])
    expect(status).toBe(1)
    expect(stderr).toContain('execution-engine.darwin-arm64.node')
    expect(stderr).not.toContain('darwin-x64')
    expect(readdirSync(dir)).not.toContain('packages')
  })

  test('two addons for one platform are refused', () => {
    const dir = clone()
    const place = artifacts(dir)
    writeFileSync(join(place, 'darwin-x64', 'execution-engine.darwin-arm64.node'), 'another')
    const { status, stderr } = release(dir, ['pack', place, join(dir, 'packages')])
    expect(status).toBe(1)
    expect(stderr).toContain('there is more than one:\n  execution-engine.darwin-arm64.node')
  })
})

/** Publishes with an npm that writes down what it is asked, and knows of some packages. */
function publish(dir: string, published: string[] = [], { npm = '11.5.1', missing = '' } = {}) {
  const log = join(dir, 'asked')
  writeFileSync(log, '')
  const program = join(dir, 'npm.cjs')
  writeFileSync(
    program,
    `const [command, ...args] = process.argv.slice(2)
    if (command === '--version') console.log(${JSON.stringify(npm)})
    if (command === 'publish') require('node:fs').appendFileSync(${JSON.stringify(log)}, JSON.stringify(args) + '\\n')
    if (command === 'view') {
      const name = args[0].slice(0, args[0].lastIndexOf('@'))
      if (${JSON.stringify(published)}.includes(name)) console.log(args[0].slice(name.length + 1))
      else process.exit(1)
    }`,
  )
  const packages = join(dir, 'packages')
  mkdirSync(packages)
  const { version } = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'))
  for (const name of names) {
    const file = tarball(name).replace(/\d+\.\d+\.\d+/, version)
    if (name !== missing) writeFileSync(join(packages, file), '')
  }
  const { status, stderr } = release(dir, ['publish', packages, '--provenance'], { npm_execpath: program })
  const asked = readFileSync(log, 'utf8').trim().split('\n').filter(Boolean)
  return { status, stderr, asked: asked.map((line): string[] => JSON.parse(line)), packages }
}

test('npm publish of the clone itself is refused', { timeout: 60_000 }, () => {
  // It would publish the addon of this platform for all.
  expect(manifest.scripts.prepublishOnly).toBe('node scripts/release.mjs')
  expect(release(root, [])).toMatchObject({ status: 1, stderr: expect.stringContaining('publish PACKAGES') })
})

describe('publish', { timeout: 60_000 }, () => {
  test('the packages of the platforms are there before the main one', () => {
    const { status, asked, packages } = publish(clone())
    expect(status).toBe(0)
    expect(asked).toEqual(names.map((name) => [join(packages, tarball(name)), '--access=public', '--provenance']))
  })

  test('a release that was interrupted goes on where it ended', () => {
    const { status, asked } = publish(clone(), names.slice(0, 3))
    expect(status).toBe(0)
    expect(asked).toHaveLength(names.length - 3)
    expect(asked[0]?.[0]).toContain(names[3]?.replace('@escher-dbai/', ''))
  })

  test('a release candidate does not become the latest version', () => {
    const dir = clone()
    edit(dir, 'package.json', (text) => text.replace(`"version": "${version}"`, `"version": "${version}-rc.1"`))
    const { status, asked } = publish(dir)
    expect(status).toBe(0)
    for (const args of asked) expect(args).toContain('--tag=next')
  })

  test('nothing is published when a package is missing', () => {
    const { status, stderr, asked } = publish(clone(), [], { missing: name })
    expect(status).toBe(1)
    expect(stderr).toContain(tarball(name))
    expect(asked).toEqual([])
  })

  test('an npm that knows no trusted publishing is refused', () => {
    const { status, stderr, asked } = publish(clone(), [], { npm: '10.9.3' })
    expect(status).toBe(1)
    expect(stderr).toContain('expected npm 11.5.1 or newer, found 10.9.3')
    expect(asked).toEqual([])
  })
})
