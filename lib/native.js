'use strict'

// Loads the addon. Where it cannot be loaded, says why: a package is missing on this machine, or this file has been
// bundled into another one. And what helps.

const { readFileSync } = require('node:fs')

const NAME = '@escher-dbai/execution-engine'
const GUIDE = 'https://github.com/escher-dbai/v2-execution-engine-rust/blob/main/docs/bundling.md'

/** The platforms that packages are published for: those of `targets` in `package.json`, as npm names them. */
const PLATFORMS = [
  'linux-x64-gnu',
  'linux-arm64-gnu',
  'linux-x64-musl',
  'linux-arm64-musl',
  'darwin-x64',
  'darwin-arm64',
  'win32-x64-msvc',
  'win32-arm64-msvc',
]

/** Whether this Linux has the C library musl. The report of Node names the version of the other one, glibc. */
function isMusl() {
  try {
    // As UTF-8, which Node reads in one call: any other way takes half of a millisecond longer.
    return readFileSync('/usr/bin/ldd', 'utf8').includes('musl')
  } catch {
    const { header } = /** @type {any} */ (process.report.getReport())
    return header.glibcVersionRuntime === undefined
  }
}

/** @param {NodeJS.Platform} platform @param {string} arch @param {() => boolean} musl */
function platformName(platform, arch, musl) {
  if (platform === 'linux') return `linux-${arch}-${musl() ? 'musl' : 'gnu'}`
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`
}

/**
 * Whether a bundler has made this file a part of another one: then it does not lie in the package any more, or does not
 * know where it lies.
 */
function isBundled() {
  try {
    return JSON.parse(readFileSync(`${__dirname}/../package.json`, 'utf8')).name !== NAME
  } catch {
    return true
  }
}

/** The errors behind an error, the last one first. @param {unknown} error @returns {Error[]} */
const chain = (error) => (error instanceof Error ? [...chain(error.cause), error] : [])

/**
 * What to tell of an addon that could not be loaded.
 *
 * @param {unknown} cause what the generated loader threw
 * @param {string} name the platform, as its package is called
 * @returns {Error}
 */
function explain(cause, name) {
  const wanted = `${NAME}-${name}`
  const lines = [`${NAME} could not load its native part for ${name}.`]
  // A file that is there but cannot be loaded is another matter than one that is not there. Of the errors that the
  // generated loader collects only the messages are left; its own, on top, says nothing of either.
  const broken = chain(cause instanceof Error && cause.cause).find(
    ({ message }) => !/^(?:Cannot find |Unsupported )/.test(message),
  )
  if (!PLATFORMS.includes(name)) {
    lines.push(
      `There is no package for this platform. There are packages for: ${PLATFORMS.join(', ')}.`,
      'On another one, build it from a clone with `npm run build`: see README.md.',
    )
  } else if (isBundled()) {
    lines.push(
      'It was bundled into another file, and a native part cannot be. Let the bundler leave the package out, and install',
      `it where the bundle runs: \`external: ['${NAME}']\` (esbuild, Rollup), \`externals\` (webpack),`,
      '`ssr.external` (Vite), `serverExternalPackages` (Next.js).',
      `See ${GUIDE}.`,
    )
  } else if (broken) {
    lines.push(
      `It is installed, but could not be loaded: ${broken.message}`,
      'Was node_modules copied from another machine or image? Then install again on this one: `npm ci`.',
      'Is the C library of the system older than the one it was built with? Then update the system.',
    )
  } else {
    lines.push(
      `The package ${wanted} is missing. It is an optional dependency, which npm installs by itself, unless:`,
      '- optional dependencies were left out: install again without `--omit=optional` or `--no-optional`, and look for',
      '  `omit` in .npmrc.',
      '- the lockfile was made on another platform and lacks it (a known bug of npm): delete node_modules and',
      '  package-lock.json, then `npm install`.',
      '- node_modules was copied from another platform: install on the one that runs it, or add this one to',
      '  `supportedArchitectures` (pnpm, Yarn), or use `npm install --os=... --cpu=... --libc=...`.',
    )
  }
  return Object.assign(new Error(lines.join('\n'), { cause }), { code: 'ERR_NATIVE_PACKAGE' })
}

/**
 * The addon of this platform, from the places where npm and a build put it: the generated loader, which knows all others,
 * takes longer to read than the addon itself.
 *
 * @param {string} name
 * @returns {typeof import('../binding') | undefined}
 */
function nearest(name) {
  if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH) return undefined
  for (const place of [`../execution-engine.${name}.node`, `${NAME}-${name}`]) {
    try {
      return require(place)
    } catch {
      // The generated loader tells why.
    }
  }
  return undefined
}

/** @returns {typeof import('../binding')} */
function load() {
  const name = platformName(process.platform, process.arch, isMusl)
  try {
    const found = nearest(name) ?? require('../binding.js')
    // A bundler may have put its path in the place of the addon.
    if (typeof found.NativeEngine !== 'function') throw new Error('what was found is no addon')
    return found
  } catch (cause) {
    throw explain(cause, name)
  }
}

module.exports = load()
