import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['__test__/package/**/*.test.ts'],
    // It needs a program that root has made for another user: see scripts/other-user.mjs.
    exclude: process.env['ROOTED_PROGRAM'] === undefined ? ['__test__/package/unprivileged.test.ts'] : [],
    // A process of its own per file: the addon is loaded as a program loads it, and what one file leaves behind
    // cannot reach another.
    pool: 'forks',
    // Some tests measure times; two files at once would measure each other.
    fileParallelism: false,
    testTimeout: 20_000,
    // The package is loaded by Node itself, as its users load it, and not transformed.
    server: { deps: { external: [/\/index\.js$/, /\/testing\.js$/, /\/binding\.js$/, /\/lib\/.+\.js$/] } },
  },
})
