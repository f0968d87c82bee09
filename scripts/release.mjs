// What a release takes beyond building.
//
//   check [TAG]                whether all files name the same version, and the changelog tells of it
//   pack ARTIFACTS PACKAGES    makes the packages of npm from what was built for each platform
//   try PACKAGES               installs them as a user would, and runs the portable tests on the one of this platform
//   publish PACKAGES [OPTION…] publishes those that are not published yet, the main one last; options are npm's

import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { npm, root, run } from './run.mjs'

const LICENCES = ['LICENSE-MIT', 'LICENSE-APACHE', 'THIRD-PARTY-LICENSES']
/** Made by the build, and the same for each platform. */
const GENERATED = ['binding.js', 'binding.d.ts']
/** Taken where several have built them. */
const REFERENCE = 'x86_64-unknown-linux-gnu'

/** @param {string} file */
const read = (file) => readFileSync(join(root, file), 'utf8')
/** @param {string} file */
const readJson = (file) => JSON.parse(read(file))

const manifest = readJson('package.json')
/** @type {string} */
const version = manifest.version
const platforms = readdirSync(join(root, 'npm')).sort()

/** @param {string} platform */
const addon = (platform) => `${manifest.napi.binaryName}.${platform}.node`

/** The file that `npm pack` makes of a package of this version. @param {string} name */
const tarball = (name) => `${name.replace('@', '').replace('/', '-')}-${version}.tgz`

/** The packages of npm in the order to publish them: what is named by another one comes first. */
const names = [...platforms.map((platform) => `${manifest.name}-${platform}`), manifest.name]

/** @param {string} what @param {string[]} lines */
function refuse(what, lines) {
  if (lines.length > 0) throw new Error(`${what}:\n${lines.map((line) => `  ${line}`).join('\n')}`)
}

/** @param {string} what @param {string[]} args @param {import('./run.mjs').Options} [options] */
async function runNpm(what, args, options) {
  const status = await npm(args, options)
  if (status !== 0) throw new Error(`${what} failed with exit code ${status}`)
}

/** @param {string | undefined} tag */
function check(tag) {
  const crate = /^name = "(.+)"/m.exec(read('Cargo.toml'))?.[1]
  const lock = readJson('package-lock.json')
  /** @type {Record<string, string | undefined>} */
  const found = {
    'package.json': version,
    'package-lock.json': lock.version,
    'package-lock.json, its first package': lock.packages[''].version,
    'Cargo.toml': /^version = "(.+)"/m.exec(read('Cargo.toml'))?.[1],
    'Cargo.lock': new RegExp(`^name = "${crate}"\\r?\\nversion = "(.+)"`, 'm').exec(read('Cargo.lock'))?.[1],
  }
  for (const platform of platforms) {
    const file = `npm/${platform}/package.json`
    found[file] = readJson(file).version
  }
  const wanted = tag === undefined ? version : tag.replace(/^v/, '')
  const offences = Object.entries(found)
    .filter(([, version]) => version !== wanted)
    .map(([file, version]) => `${file}: expected version ${wanted}, found ${version}`)
  if (tag !== undefined) {
    if (!/^v\d+\.\d+\.\d+(-[\w.]+)?$/.test(tag)) offences.push(`the tag: expected v1.2.3 or v1.2.3-rc.1, found ${tag}`)
    offences.push(...checkChangelog(wanted))
  }
  refuse(tag === undefined ? 'the versions disagree' : `this is not ready to be released as ${tag}`, offences)
  console.log(`release: ${Object.keys(found).length} places name version ${wanted}`)
}

/** The sections of the changelog, each with its heading. @returns {{ heading: string, body: string }[]} */
const changelog = () =>
  read('CHANGELOG.md')
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const [heading = '', ...body] = section.split('\n')
      return { heading: heading.trim(), body: body.join('\n').trim() }
    })

/** @param {string} wanted @returns {string[]} what is wrong with it for a release of that version */
function checkChangelog(wanted) {
  const [unreleased, newest] = changelog()
  if (unreleased?.heading !== '[Unreleased]') return ['CHANGELOG.md: expected its first section to be [Unreleased]']
  const offences = []
  if (unreleased.body !== '') offences.push('CHANGELOG.md: [Unreleased] still tells of changes')
  const heading = newest?.heading ?? 'no other section'
  const [, named, date] = /^\[(.+)\] - (\d{4}-\d{2}-\d{2})$/.exec(heading) ?? []
  if (named !== wanted || Number.isNaN(Date.parse(date ?? ''))) {
    offences.push(`CHANGELOG.md: expected [${wanted}] and its date below [Unreleased], found ${heading}`)
  } else if (newest?.body === '') {
    offences.push(`CHANGELOG.md: [${wanted}] tells of no change`)
  }
  return offences
}

/** All files below a directory, by what they are called. @param {string} dir @returns {Map<string, string[]>} */
function filesBelow(dir) {
  /** @type {Map<string, string[]>} */
  const found = new Map()
  for (const file of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (file.isFile()) found.set(file.name, [...(found.get(file.name) ?? []), join(file.parentPath, file.name)])
  }
  return found
}

/** @param {string} dir @param {Record<string, unknown>} content */
const writeManifest = (dir, content) =>
  writeFileSync(join(dir, 'package.json'), `${JSON.stringify(content, null, 2)}\n`)

/** @param {string} artifacts @param {string} packages */
async function pack(artifacts, packages) {
  const built = filesBelow(artifacts)
  const one = (/** @type {string} */ name) => {
    const places = built.get(name) ?? []
    return places.find((place) => place.includes(REFERENCE)) ?? places[0]
  }
  refuse(
    `${artifacts} does not have what is to be packed`,
    [...platforms.map(addon), ...GENERATED].filter((name) => one(name) === undefined),
  )
  refuse(
    'there is more than one',
    platforms.map(addon).filter((name) => built.get(name)?.length !== 1),
  )

  mkdirSync(packages, { recursive: true })
  const stage = mkdtempSync(join(tmpdir(), 'execution-engine-release-'))
  try {
    for (const platform of platforms) {
      const dir = join(stage, platform)
      cpSync(join(root, 'npm', platform), dir, { recursive: true })
      copyFileSync(/** @type {string} */ (one(addon(platform))), join(dir, addon(platform)))
      for (const file of LICENCES) copyFileSync(join(root, file), join(dir, file))
      const own = readJson(`npm/${platform}/package.json`)
      writeManifest(dir, { ...own, files: [...own.files, ...LICENCES] })
    }

    const dir = join(stage, 'main')
    mkdirSync(dir)
    // What a local build packs for its own platform comes from the platform's package here.
    const files = manifest.files.filter((/** @type {string} */ file) => !file.endsWith('.node'))
    for (const file of files) {
      const from = GENERATED.includes(file) ? /** @type {string} */ (one(file)) : join(root, file)
      cpSync(from, join(dir, file), { recursive: true })
    }
    writeManifest(dir, {
      ...manifest,
      files,
      optionalDependencies: Object.fromEntries(platforms.map((platform) => [`${manifest.name}-${platform}`, version])),
    })

    for (const name of readdirSync(stage)) {
      await runNpm(`npm pack of ${name}`, ['pack', join(stage, name), '--pack-destination', resolve(packages)])
    }
  } finally {
    rmSync(stage, { recursive: true })
  }
}

/** @param {string} packages */
function expectAll(packages) {
  const there = new Set(readdirSync(packages))
  refuse(
    `${packages} lacks`,
    names.map(tarball).filter((file) => !there.has(file)),
  )
}

/** @param {string} packages */
async function tryOut(packages) {
  expectAll(packages)
  const dir = mkdtempSync(join(tmpdir(), 'execution-engine-try-'))
  try {
    // As the registry would serve them: npm chooses the platform by what the packages say of themselves.
    const specs = names.map((name) => {
      copyFileSync(join(packages, tarball(name)), join(dir, tarball(name)))
      return [name, `file:./${tarball(name)}`]
    })
    const optionalDependencies = Object.fromEntries(specs.slice(0, -1))
    const dependencies = Object.fromEntries(specs.slice(-1))
    // These, and not what the registry may have of this version already.
    const overrides = Object.fromEntries(specs.slice(0, -1).map(([name]) => [name, `$${name}`]))
    const content = { private: true, dependencies, optionalDependencies, overrides }
    writeFileSync(join(dir, 'package.json'), JSON.stringify(content))
    const options = ['--offline', '--ignore-scripts', '--no-audit', '--no-fund']
    await runNpm('npm install', ['install', ...options], { cwd: dir })

    const main = join(dir, 'node_modules', manifest.name)
    const installed = readdirSync(join(main, '..')).filter((name) => name !== basename(main))
    if (installed.length !== 1) throw new Error(`expected one package of a platform, found ${installed.join(', ')}`)
    console.log(`release: ${installed[0]} is installed`)

    const tests = '__test__/package/portable.mjs'
    mkdirSync(dirname(join(main, tests)), { recursive: true })
    copyFileSync(join(root, tests), join(main, tests))
    const status = await run(process.execPath, [join(main, tests)], { cwd: dir })
    if (status !== 0) throw new Error(`the portable tests failed with exit code ${status}`)
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** @param {string} packages @param {string[]} options */
async function publish(packages, options) {
  expectAll(packages)
  let newest = ''
  await runNpm('npm --version', ['--version'], { onOutput: (text) => (newest += text), quiet: true })
  // Older ones know nothing of trusted publishing, and fail as if the package did not exist.
  const [major = 0, minor = 0, patch = 0] = newest.trim().split('.').map(Number)
  if (major * 1e6 + minor * 1e3 + patch < 11_005_001) throw new Error(`expected npm 11.5.1 or newer, found ${newest}`)

  // `latest` is what users get who name no version.
  const tag = version.includes('-') ? ['--tag=next'] : []
  for (const name of names) {
    let found = ''
    const onOutput = (/** @type {string} */ text) => (found += text)
    // Fails where there is no such package yet, and prints nothing where it has no such version.
    await npm(['view', `${name}@${version}`, 'version', '--loglevel=silent', ...options], { onOutput, quiet: true })
    if (found.trim() === version) {
      console.log(`release: ${name}@${version} is published already`)
      continue
    }
    const file = join(resolve(packages), tarball(name))
    await runNpm(`npm publish of ${name}`, ['publish', file, '--access=public', ...tag, ...options])
  }
}

const [command, ...args] = process.argv.slice(2)
const [first, second] = args
try {
  if (command === 'check') check(first)
  else if (command === 'pack' && first && second) await pack(first, second)
  else if (command === 'try' && first) await tryOut(first)
  else if (command === 'publish' && first) await publish(first, args.slice(1))
  else throw new Error('expected check [TAG], pack ARTIFACTS PACKAGES, try PACKAGES or publish PACKAGES [OPTION…]')
} catch (error) {
  console.error(`release: ${/** @type {Error} */ (error).message}`)
  process.exitCode = 1
}
