// Builds the page into dist/page.

import { copyFile, mkdir, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

import { build } from 'esbuild'

const here = new URL('./', import.meta.url)
const out = new URL('../dist/page/', import.meta.url)

await rm(out, { recursive: true, force: true })
await mkdir(out, { recursive: true })
await build({
  entryPoints: [fileURLToPath(new URL('src/main.tsx', here))],
  outdir: fileURLToPath(out),
  bundle: true,
  minify: true,
  sourcemap: true,
  format: 'esm',
  target: ['chrome123', 'firefox128', 'safari17.5'],
  jsx: 'automatic',
  jsxImportSource: 'preact',
  loader: { '.woff2': 'file' },
  assetNames: 'fonts/[name]',
  legalComments: 'linked',
  logLevel: 'warning',
})
for (const file of ['index.html', 'icon.svg']) await copyFile(new URL(file, here), new URL(file, out))

// The licences of the fonts go with them.
const { resolve } = createRequire(import.meta.url)
for (const font of ['inter', 'jetbrains-mono']) {
  await copyFile(resolve(`@fontsource-variable/${font}/LICENSE`), new URL(`fonts/${font}.LICENSE`, out))
}
