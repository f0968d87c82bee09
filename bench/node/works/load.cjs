'use strict'

// Run by itself: the time to load the package in a process that has loaded nothing yet.

const begun = performance.now()
const { ExecutionEngine } = require('../../..')
const load = performance.now() - begun
if (typeof ExecutionEngine !== 'function') throw new Error('not loaded')

const { readdirSync, statSync } = require('node:fs')
const { join } = require('node:path')

const root = join(__dirname, '../../..')
const addon = readdirSync(root).find((name) => name.endsWith('.node')) ?? ''
console.log(JSON.stringify({ load, size: statSync(join(root, addon)).size / 1e6 }))
process.exit(0)
