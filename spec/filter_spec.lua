-- Filters of increments as a script sees them: options, sums, bytes. What is rounded and held back is tested against
-- a model in spec/half.c and spec/sim/filters.c.
local epact = require "epact"

local filters = {
  none = {},
  zero = { zero = true },
  f16 = { precision = "f16" },
  bf16 = { precision = "bf16", zero = true },
  significance = { significance = 0.5, hold = 2 },
  both = { significance = 0.5, precision = "bf16" },
}

-- Two workers add whole numbers to a table; returns what every worker reads at the end, worker 0 of its own on the way,
-- and the bytes published.
local function run(shape, filter)
  local _, report = epact.run({ workers = 2, staleness = 3 }, function(w)
    local options = { rows = 8, cols = 64, type = "f32", filter = filter }
    for name, value in pairs(shape) do options[name] = value end
    local t, rng, own, right = w:table("t", options), w:rng(), 0, true
    for clock = 1, 40 do
      for row = 0, 7 do
        local delta = rng:below(4) == 0 and 1000 + rng:below(1000) or 1
        t:inc(row, clock % 3, delta)
        if row == 5 then
          t:inc(5, 10 + w.id, delta)
          own = own + delta
        end
      end
      w:clock()
      right = right and t:cell(5, 10 + w.id) == own
    end
    w:barrier()
    local sums = {}
    for row = 0, 7 do
      for col = 0, 11 do sums[#sums + 1] = t:cell(row, col) end
    end
    return { sums = sums, right = right }
  end)
  local first, second = report.results[0][1], report.results[1][1]
  assert.is_true(first.right and second.right)
  assert.same(first.sums, second.sums)
  return first.sums, report.tables.t.bytes
end

describe("a filter", function()
  for name, shape in pairs { dense = {}, sparse = { sparse = true }, ["sparse updates"] = { sparse_updates = true } } do
    it("of " .. name .. " increments loses nothing, and none of a worker's own", function()
      local sums = run(shape, nil)
      for _, filter in pairs(filters) do assert.same(sums, (run(shape, filter))) end
    end)
  end

  it("publishes fewer bytes", function()
    local bytes = {}
    for name, filter in pairs(filters) do bytes[name] = select(2, run({}, filter)) end
    assert.is_true(bytes.zero < 0.15 * bytes.none, "cells of sparse rows")
    assert.is_true(bytes.f16 < 0.55 * bytes.none and bytes.f16 > 0.45 * bytes.none)
    assert.is_true(bytes.bf16 < 0.97 * bytes.zero, "2 bytes of a cell's 8")
    assert.is_true(bytes.significance < 0.95 * bytes.none)
    assert.is_true(bytes.both < 0.55 * bytes.none)
  end)

  it("counts as the table's own when it is opened again without one", function()
    local name = epact.run({ workers = 1, staleness = 2 }, function(w)
      local options = { rows = 1, cols = 1, filter = { significance = 0.5, precision = "bf16" } }
      w:table("t", options)
      options.filter = nil
      return w:table("t", options).filter.precision
    end)
    assert.equal("bf16", name)
  end)

  it("keeps nothing back from a snapshot: a resumed job has every increment before it", function()
    local folder = os.tmpname()
    os.remove(folder)
    local function job(w)
      local dense = w:table("dense", { rows = 3, cols = 2, filter = { significance = 0.9, precision = "bf16" } })
      local cells = w:table("cells", { rows = 3, cols = 2, sparse = true, filter = { significance = 0.9, hold = 4 } })
      local found = { dense:cell(1, 0), cells:cell(1, 0), w:now() }
      for clock = w:now(), 6 do
        for _, t in ipairs { dense, cells } do
          t:get(1)
          t:inc(1, 0, clock == 0 and 1000 or 1)
        end
        w:clock()
      end
      return found
    end
    local settings = { workers = 1, staleness = 8, snapshot = { every = 3, dir = folder } }
    epact.run(settings, job)
    for _, clock in ipairs { 6, 3 } do
      settings.resume = clock
      assert.same({ 999 + clock, 999 + clock, clock }, (epact.run(settings, job)))
    end
    os.execute("rm -r '" .. folder .. "'")
  end)

  local function refusal(options, again)
    local ok, why = pcall(epact.run, { workers = 1, staleness = 2 }, function(w)
      options.cols = 1
      w:table("t", options)
      if again then
        options.filter = again
        w:table("t", options)
      end
    end)
    assert.is_false(ok)
    return why:match "worker 0: spec/filter_spec.lua:%d+: ([^\n]*)"
  end

  it("that cannot be is refused at the user's line", function()
    local function options(filter, more)
      local o = { filter = filter }
      for key, value in pairs(more or {}) do o[key] = value end
      return refusal(o)
    end
    assert.equal("table 't': filter: unknown option 'zeros' (did you mean 'zero'?)", options { zeros = true })
    assert.equal("table 't': option 'filter' must be a table, got \"bf16\"", options "bf16")
    assert.equal("table 't': filter: option 'precision' must be one of f16, bf16, f32, got \"i8\"",
      options { precision = "i8" })
    assert.equal("table 't': filter: option 'significance' must be a positive number, got 0",
      options { significance = 0 })
    assert.equal("table: table 't' is i64: its increments can be filtered by 'zero' only",
      options({ precision = "f16" }, { type = "i64" }))
    assert.equal("table: table 't' is f32: its increments cannot travel as f32",
      options({ precision = "f32" }, { type = "f32" }))
    assert.equal("table: table 't': with staleness 0 no increment may wait: significance needs staleness >= 1",
      options({ significance = 0.1 }, { staleness = 0 }))
    assert.equal("table: table 't': increments held for 3 clocks would be older than the staleness 2",
      options { significance = 0.1, hold = 3 })
    assert.equal("table: table 't': hold is of increments that are not significant: give significance",
      options { hold = 3 })
  end)

  it("of another kind under the same name is refused", function()
    assert.equal("table: table 't' was opened with another filter by this worker [E_SCHEMA]",
      refusal({ filter = { zero = true } }, { zero = true, precision = "f16" }))
    local ok, why = pcall(epact.run, { workers = 2, staleness = 4 }, function(w)
      w:table("t", { cols = 1, filter = { significance = 0.5, hold = 1 + w.id } })
      w:barrier()
    end)
    assert.is_false(ok)
    assert.matches("table 't' is any x 1 f64 dense, hold [12], not any x 1 f64 dense, hold [12] %[E_SCHEMA%]", why)
  end)
end)
