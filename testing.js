'use strict'

// What stands in for the package in tests. It loads no addon; what checks without an engine loads it in its first call.

const { checkPlan, checkRequest } = require('./lib/checked')
const { ExecutionError, ExecutionFailedError } = require('./lib/error')
const { quote, quotePowerShell } = require('./lib/quote')
const { sh } = require('./lib/sh')
const { FakeEngine } = require('./lib/testing/engine')
const { fakeResult } = require('./lib/testing/result')

/** @type {typeof import('./testing')} */
module.exports = {
  ExecutionError,
  ExecutionFailedError,
  FakeEngine,
  checkPlan,
  checkRequest,
  fakeResult,
  quote,
  quotePowerShell,
  sh,
}
