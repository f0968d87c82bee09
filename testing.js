'use strict'

// What stands in for the package in tests. It loads no addon.

const { ExecutionError, ExecutionFailedError } = require('./lib/error')
const { quote, quotePowerShell } = require('./lib/quote')
const { sh } = require('./lib/sh')
const { FakeEngine } = require('./lib/testing/engine')
const { fakeResult } = require('./lib/testing/result')

/** @type {typeof import('./testing')} */
module.exports = { ExecutionError, ExecutionFailedError, FakeEngine, fakeResult, quote, quotePowerShell, sh }
