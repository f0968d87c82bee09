// The package with bundlers: left out of the bundle it works, and where it was bundled all the same, something says so.

import { spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import commonjs from '@rollup/plugin-commonjs'
import { nodeResolve } from '@rollup/plugin-node-resolve'
import * as esbuild from 'esbuild'
import { rollup } from 'rollup'
import { expect, test } from 'vitest'
import { build as viteBuild } from 'vite'
import webpack from 'webpack'
import { packagePath, temporary } from './support.js'

const root = dirname(packagePath)
const name = '@escher-dbai/execution-engine'
const addon = readdirSync(root).find((file) => file.endsWith('.node')) ?? ''
const platform = addon.replace('execution-engine.', '').replace('.node', '')

const source = `
import { ExecutionEngine, sh } from '${name}'
const engine = new ExecutionEngine({ logOutput: false })
const { stdout } = await engine.run({ command: sh\`echo it runs\` })
process.stdout.write(stdout)
`

/** A project with the package as npm installs it, with its part for this platform or without. */
function project({ withNative }: { withNative: boolean }): string {
  const dir = temporary()
  const home = join(dir, 'node_modules', name)
  mkdirSync(home, { recursive: true })
  for (const file of ['index.js', 'binding.js', 'package.json']) copyFileSync(join(root, file), join(home, file))
  cpSync(join(root, 'lib'), join(home, 'lib'), { recursive: true })
  if (withNative) {
    const beside = `${home}-${platform}`
    cpSync(join(root, 'npm', platform), beside, { recursive: true })
    symlinkSync(join(root, addon), join(beside, addon))
  }
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }))
  writeFileSync(join(dir, 'main.js'), source)
  return dir
}

function run(file: string) {
  const { stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8' })
  return { stdout, stderr }
}

/** How each bundler is told to leave the package out; without that, it bundles it. Returns what it has written. */
interface Bundler {
  bundle: (dir: string, isLeftOut: boolean) => Promise<string>
  /** What it says itself of a native part that it finds. */
  refuses: string
}

const bundlers: Record<string, Bundler> = {
  esbuild: {
    bundle: async (dir, isLeftOut) => {
      const outfile = join(dir, 'out/main.cjs')
      // A module of esbuild has no `require`, and would stop at the first one that the package has.
      const contents = `(async () => {${source.replace(/import (.*) from (.*)/, 'const $1 = require($2)')}})()`
      await esbuild.build({
        stdin: { contents, resolveDir: dir },
        bundle: true,
        platform: 'node',
        external: isLeftOut ? [name] : [],
        outfile,
        logLevel: 'silent',
      })
      return outfile
    },
    refuses: 'No loader is configured for ".node" files',
  },
  rollup: {
    bundle: async (dir, isLeftOut) => {
      const file = join(dir, 'out/main.js')
      const bundle = await rollup({
        input: join(dir, 'main.js'),
        external: isLeftOut ? [name] : [],
        plugins: [nodeResolve({ preferBuiltins: true }), commonjs()],
        onwarn: () => {},
      })
      await bundle.write({ file, format: 'es' })
      await bundle.close()
      return file
    },
    refuses: `execution-engine-${platform}`,
  },
  webpack: {
    bundle: async (dir, isLeftOut) => {
      const stats = await new Promise<webpack.Stats | undefined>((resolve, reject) => {
        webpack(
          {
            mode: 'none',
            target: 'node',
            context: dir,
            entry: './main.js',
            experiments: { outputModule: true },
            output: { path: join(dir, 'out'), filename: 'main.js', module: true },
            externals: isLeftOut ? { [name]: `module ${name}` } : {},
          },
          (error, stats) => (error ? reject(error) : resolve(stats)),
        )
      })
      if (stats?.hasErrors()) throw new Error(stats.toString({ all: false, errors: true }))
      return join(dir, 'out/main.js')
    },
    refuses: `${addon} 1:0`,
  },
  Vite: {
    bundle: async (dir, isLeftOut) => {
      await viteBuild({
        configFile: false,
        logLevel: 'silent',
        root: dir,
        build: { ssr: 'main.js', outDir: 'out', target: 'node20' },
        ssr: isLeftOut ? { external: [name] } : { noExternal: true },
      })
      return join(dir, 'out/main.js')
    },
    refuses: addon,
  },
}

test.each(Object.entries(bundlers))(
  '%s: left out of the bundle, the package works',
  { timeout: 60_000 },
  async (_, { bundle }) => {
    const file = await bundle(project({ withNative: true }), true)
    expect(run(file)).toEqual({ stdout: 'it runs\n', stderr: '' })
  },
)

test.each(Object.entries(bundlers))(
  '%s: bundled, the package says what to do when it is loaded',
  { timeout: 60_000 },
  async (_, { bundle }) => {
    const { stdout, stderr } = run(await bundle(project({ withNative: false }), false))
    expect(stdout).toBe('')
    expect(stderr).toContain(
      `${name} could not load its native part for ${platform}.\nIt was bundled into another file`,
    )
    for (const help of [`external: ['${name}']`, 'ssr.external', 'serverExternalPackages', 'docs/bundling.md']) {
      expect(stderr).toContain(help)
    }
    expect(stderr).not.toContain('--omit=optional')
  },
)

test.each(Object.entries(bundlers))(
  '%s: where it finds the native part, it refuses it by itself',
  { timeout: 60_000 },
  async (_, { bundle, refuses }) => {
    await expect(bundle(project({ withNative: true }), false)).rejects.toThrow(refuses)
  },
)

test('the path of an addon in the place of it is told as such', { timeout: 60_000 }, async () => {
  const dir = project({ withNative: true })
  const outfile = join(dir, 'elsewhere.cjs')
  await esbuild.build({
    stdin: { contents: `require('${name}')`, resolveDir: dir },
    bundle: true,
    platform: 'node',
    loader: { '.node': 'file' },
    outfile,
  })
  const moved = join(temporary(), 'elsewhere.cjs')
  copyFileSync(outfile, moved)
  expect(run(moved).stderr).toContain('It was bundled into another file')
})
