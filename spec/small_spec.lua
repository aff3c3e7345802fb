-- Small pictures and numbers for people: progress lines, sparklines, the report of a run.
local epact = require "epact"
local plot = require "epact.plot"
local process = require "support.process"
local progress = require "epact.progress"
local report = require "epact.report"

describe("progress", function()
  it("writes durations as people do", function()
    local spelled = {}
    for i, seconds in ipairs { -3, 0, 0.4, 47.6, 99.4, 100, 200, 3599, 3600, 7500, 360000 } do
      spelled[i] = progress.duration(seconds)
    end
    assert.same({ "0 s", "0 s", "0 s", "48 s", "99 s", "1:40", "3:20", "59:59", "1:00:00", "2:05:00", "100:00:00" },
      spelled)
  end)

  it("writes amounts with a unit", function()
    local spelled = {}
    for i, n in ipairs { 0, 7, 999, 1000, 1500, 2.5e6, 12e9, 0.4 } do spelled[i] = progress.amount(n) end
    assert.same({ "0", "7", "999", "1.0k", "1.5k", "2.5M", "12.0G", "0" }, spelled)
  end)

  it("of a file is a line now and then, and the last one", function()
    local script = process.temporary [[
      local line = require "epact.progress".new(10)
      for step = 1, 10 do line:step(step, "loss 0.5") end
      line:done()
      require "epact.progress".new(3):step(3)
    ]]
    local output, code = process.run("luajit " .. script, { paths = true })
    os.remove(script)
    assert.equal(0, code)
    assert.equal("1/10  loss 0.5  0 s, 0 s left\n10/10  loss 0.5  0 s, 0 s left\n3/3  0 s, 0 s left\n", output)
  end)
end)

describe("a sparkline", function()
  it("goes from the lowest to the highest", function()
    assert.equal("▁▂▃▄▅▆▇█", plot.sparkline { 1, 2, 3, 4, 5, 6, 7, 8 })
    assert.equal("█▁", plot.sparkline { 5, -5 })
    assert.equal("▁▁▁", plot.sparkline { 2, 2, 2 })
    assert.equal("", plot.sparkline {})
  end)

  it("is at most as wide as was asked, by means", function()
    local values = {}
    for i = 1, 1000 do values[i] = i end
    assert.equal("▁▂▃▄▅▆▇█", plot.sparkline(values, 8))
    assert.equal(60 * 3, #plot.sparkline(values))
    assert.equal("▁█", plot.sparkline({ 1, 2 }, 10))
    assert.equal("", plot.sparkline({ 1, 2 }, 0))
  end)

  it("leaves a gap where a value is not finite", function()
    assert.equal(" ▁ █ ", plot.sparkline { -math.huge, 1, 0 / 0, 2, math.huge })
    assert.equal("  ", plot.sparkline { 0 / 0, 0 / 0 })
  end)
end)

describe("a report", function()
  local function stats(reads, bins)
    local staleness = {}
    for bin = 0, 63 do staleness[bin] = bins[bin] or 0 end
    return { reads = reads, fetches = 2, increments = 1500, bytes = 2.5e6, wait_seconds = 0.25, staleness = staleness }
  end

  it("sums what the workers counted, and says how stale the reads were", function()
    local sum = report.new({
      [0] = { stats = { a = stats(4, { [0] = 3, [1] = 1 }) } },
      [1] = { stats = { a = stats(4, { [0] = 1, [3] = 3 }), b = stats(0, {}) } },
    }, 1.5)
    assert.equal(2, sum.workers)
    assert.equal(8, sum.tables.a.reads)
    assert.equal(0.5, sum.tables.a.wait_seconds)
    assert.equal(4, sum.tables.a.staleness[0])
    assert.near(10 / 8, sum.tables.a.staleness_mean, 1e-12)
    assert.near(28 / 8 - (10 / 8) ^ 2, sum.tables.a.staleness_variance, 1e-12)
    assert.equal(3, sum.tables.a.staleness_max)
    local b = sum.tables.b
    assert.same({ 0, 0, 0 }, { b.staleness_mean, b.staleness_variance, b.staleness_max })
  end)

  it("prints itself as a table, one line a name", function()
    local outcome = { stats = { zeta = stats(1, {}), alpha = stats(12345, { [2] = 1 }) } }
    local text = tostring(report.new({ [0] = outcome }, 2))
    local lines = {}
    for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal("1 worker, 2.00 s", lines[1])
    assert.matches("^table +reads +fetched +cells out +bytes out +waited +staleness mean, max$", lines[2])
    assert.matches("^alpha +12%.3 k +2 +1%.5 k +2%.5 MB +0%.25 s +2%.00, 2$", lines[3])
    assert.matches("^zeta ", lines[4])
    assert.equal(4, #lines)
  end)

  it("of a run with `stats` goes to stderr", function()
    local script = process.temporary [[
      require "epact".run({ workers = 2, stats = true }, function(w) w:table("weights", { cols = 1 }):inc(0, 0, 1) end)
    ]]
    local output, code = process.run("luajit " .. script .. " >/dev/null", { paths = true })
    os.remove(script)
    assert.equal(0, code)
    assert.matches("^2 workers, 0%.%d%d s\ntable .*\nweights ", output)
  end)

  it("of a run counts what happened", function()
    local _, counted = epact.run({ workers = 2, staleness = 1 }, function(w)
      local t = w:table("t", { rows = 4, cols = 3 })
      for _ = 1, 5 do
        t:inc(w.id, 1, 1)
        t:get(3)
        w:clock()
      end
    end)
    local t = counted.tables.t
    assert.equal(10, t.reads)
    assert.equal(2 * 5 * 3, t.increments) -- a row of a dense table is published whole
    assert.is_true(t.bytes >= 2 * 5 * 3 * 8)
    assert.is_true(t.staleness_max <= 1)
  end)
end)
