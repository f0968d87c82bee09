// Loading the package.

import { loading } from '../sample.mjs'
import { own } from './types.mjs'

/** @returns {import('./types.mjs').Row[]} */
export const loadRows = () => [
  {
    id: 'load',
    title: 'loading the package',
    contenders: { [own]: loading },
    metrics: [
      { field: 'load', title: '`require`, ms', digits: 2, targets: [{ field: 'load', below: 5, unit: 'ms' }] },
      { field: 'size', title: 'size of the addon, MB', digits: 2, targets: [{ field: 'size', below: 2, unit: 'MB' }] },
    ],
  },
]
