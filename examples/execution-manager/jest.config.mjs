// The same code as a user of Jest tests it: compiled, as modules of Node. `npm run test:jest`, after `npm run build`.
export default {
  testMatch: ['<rootDir>/test/jest/*.test.mjs'],
  testEnvironment: 'node',
  transform: {},
}
