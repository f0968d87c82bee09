// What is published: what the package contains, and what it says where its native part is missing.

import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { packagePath, temporary } from './support.js'

const root = dirname(packagePath)
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const platforms = readdirSync(join(root, 'npm'))
const native = (platform: string): string => `execution-engine.${platform}.node`

/** The package as it is installed, without anything native. */
function installed(): string {
  const dir = join(temporary(), 'node_modules/@escher-dbai/execution-engine')
  mkdirSync(dir, { recursive: true })
  for (const file of ['index.js', 'binding.js', 'package.json']) copyFileSync(join(root, file), join(dir, file))
  cpSync(join(root, 'lib'), join(dir, 'lib'), { recursive: true })
  return dir
}

/** What a program is told that loads the package, on what it takes for that platform. */
function load(dir: string, platform: string = process.platform, arch: string = process.arch) {
  const program = `
    Object.defineProperty(process, 'platform', { value: ${JSON.stringify(platform)} })
    Object.defineProperty(process, 'arch', { value: ${JSON.stringify(arch)} })
    try {
      require(${JSON.stringify(dir)})
      console.log(JSON.stringify({ message: 'loaded' }))
    } catch (error) {
      console.log(JSON.stringify({ code: error.code, message: error.message, caused: error.cause instanceof Error }))
    }`
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8' })
  expect(stderr).toBe('')
  return JSON.parse(stdout) as { code?: string; message: string; caused?: boolean }
}

test.each([
  ['win32', 'x64', 'win32-x64-msvc'],
  ['darwin', 'arm64', 'darwin-arm64'],
])('a missing package is named, with what helps: %s %s', (platform, arch, name) => {
  const error = load(installed(), platform, arch)
  expect(error).toMatchObject({ code: 'ERR_NATIVE_PACKAGE', caused: true })
  expect(error.message).toContain(`could not load its native part for ${name}.`)
  expect(error.message).toContain(`The package @escher-dbai/execution-engine-${name} is missing.`)
  for (const help of ['--omit=optional', 'package-lock.json', 'supportedArchitectures']) {
    expect(error.message).toContain(help)
  }
})

test('a platform without a package is told the ones that have one', () => {
  const error = load(installed(), 'sunos', 'x64')
  expect(error.code).toBe('ERR_NATIVE_PACKAGE')
  expect(error.message).toContain('There is no package for this platform.')
  for (const platform of platforms) expect(error.message).toContain(platform)
  expect(error.message).not.toContain('--omit=optional')
})

test('a file that cannot be loaded is told apart from one that is missing', () => {
  const dir = installed()
  const name = readdirSync(root).find((file) => file.endsWith('.node')) ?? ''
  expect(name).not.toBe('')
  writeFileSync(join(dir, name), 'no library')
  const error = load(dir)
  expect(error.code).toBe('ERR_NATIVE_PACKAGE')
  expect(error.message).toContain('It is installed, but could not be loaded: ')
  expect(error.message).toContain(name)
})

test('the package of a platform is found where npm puts it', () => {
  const dir = installed()
  const name = readdirSync(root).find((file) => file.endsWith('.node')) ?? ''
  const platform = name.replace('execution-engine.', '').replace('.node', '')
  const beside = `${dir}-${platform}`
  cpSync(join(root, 'npm', platform), beside, { recursive: true })
  copyFileSync(join(root, name), join(beside, name))
  expect(load(dir).message).toBe('loaded')
})

test('every target has a platform package that only that platform installs', () => {
  expect(platforms).toHaveLength(manifest.napi.targets.length)
  for (const platform of platforms) {
    const found = JSON.parse(readFileSync(join(root, 'npm', platform, 'package.json'), 'utf8'))
    const [os, cpu, abi] = platform.split('-')
    expect(found).toMatchObject({
      name: `${manifest.name}-${platform}`,
      version: manifest.version,
      license: manifest.license,
      engines: manifest.engines,
      homepage: manifest.homepage,
      bugs: manifest.bugs,
      repository: { ...manifest.repository, directory: `npm/${platform}` },
      os: [os],
      cpu: [cpu],
      main: native(platform),
      files: [native(platform)],
    })
    expect(found.libc).toEqual(os === 'linux' ? [abi === 'musl' ? 'musl' : 'glibc'] : undefined)
  }
  // Written by the release, which knows what it has published.
  expect(manifest.optionalDependencies).toBeUndefined()
})

test('all that is published names one address', () => {
  const { repository, homepage, bugs } = manifest
  const address = repository.url.replace(/^git\+|\.git$/g, '')
  expect(repository.url).toBe(`git+${address}.git`)
  expect([homepage, bugs]).toEqual([`${address}#readme`, `${address}/issues`])
  expect(readFileSync(join(root, 'Cargo.toml'), 'utf8')).toContain(`\nrepository = "${address}"\n`)
  expect(readFileSync(join(root, 'lib/native.js'), 'utf8')).toContain(`'${address}/blob/main/docs/bundling.md'`)
})

test('the licences of what is compiled in are told, and checked by the lint', { timeout: 60_000 }, () => {
  expect(manifest.scripts['lint:package']).toContain('node scripts/licences.mjs --check')
  const told = readFileSync(join(root, 'THIRD-PARTY-LICENSES'), 'utf8')
  for (const crate of ['tokio', 'napi', 'windows-sys', 'libc'])
    expect(told).toMatch(new RegExp(`^${crate} \\d.*: .*MIT`, 'm'))
  expect(told).toContain('Permission is hereby granted')
  // What only builds it is no part of it.
  expect(told).not.toMatch(/^(?:napi-build|serde_derive|syn|criterion) /m)
})

test('the package lists what belongs to it and nothing else', { timeout: 60_000 }, () => {
  const npm = process.env['npm_execpath']
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts']
  const output =
    npm === undefined
      ? execFileSync('npm', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      : execFileSync(process.execPath, [npm, ...args], {
          cwd: root,
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        })
  const [{ files }] = JSON.parse(output) as [{ files: { path: string }[] }]
  const listed = files.map(({ path }) => path).filter((path) => !/^execution-engine\..+\.node$/.test(path))
  expect(listed.sort()).toEqual(
    [
      'CHANGELOG.md',
      'LICENSE-APACHE',
      'LICENSE-MIT',
      'README.md',
      'THIRD-PARTY-LICENSES',
      'binding.d.ts',
      'binding.js',
      'index.d.ts',
      'index.js',
      'plans.d.ts',
      'plans.js',
      'schema.json',
      'testing.d.ts',
      'testing.js',
      ...readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.js'))
        .map((name) => `lib/${name.replaceAll('\\', '/')}`),
      'package.json',
    ].sort(),
  )
})
