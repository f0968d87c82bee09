/** @type {import('jest').Config} */
module.exports = {
  rootDir: __dirname,
  testEnvironment: 'node',
  testMatch: ['<rootDir>/**/*.test.cjs'],
  moduleFileExtensions: ['cjs', 'js', 'json', 'node'],
  // The tests and the package are plain CommonJS.
  transform: {},
  testTimeout: 20_000,
}
