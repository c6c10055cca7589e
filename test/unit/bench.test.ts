/** The statistics that benches print are what their names say. */
import assert from 'node:assert/strict'
import { median, percentile, ratio } from '../bench/statistics.ts'

describe('the statistics of benches', () => {
  it('take the middle value for the median, and the mean of the middle two', () => {
    assert.equal(median([9, 1, 5]), 5)
    assert.equal(median([4, 1, 3, 2]), 2.5)
    assert.equal(median([7]), 7)
    assert.ok(Number.isNaN(median([])))
  })

  it('sort numbers as numbers, and leave the list as it was', () => {
    const values = [100, 9, 20]
    assert.equal(median(values), 20)
    assert.equal(percentile(values, 1), 100)
    assert.deepEqual(values, [100, 9, 20])
  })

  it('take a value that was measured for a percentile, by the nearest rank', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1)
    assert.equal(percentile(hundred, 0.5), 50)
    assert.equal(percentile(hundred, 0.99), 99)
    assert.equal(percentile(hundred, 0), 1)
    assert.equal(percentile(hundred, 1), 100)
    assert.equal(percentile([3, 1], 0.99), 3)
    assert.ok(Number.isNaN(percentile([], 0.5)))
  })

  it('give no ratio where it says nothing', () => {
    assert.equal(ratio(3, 4), 0.75)
    assert.equal(ratio(3, 0), undefined)
    assert.equal(ratio(undefined, 4), undefined)
    assert.equal(ratio(3, undefined), undefined)
    assert.equal(ratio(Number.NaN, 4), undefined)
  })
})
