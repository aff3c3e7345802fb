-- Tables as a worker uses them: every way to increment gives the same sums, and read-my-writes.
local epact = require "epact"

local element = { f32 = "float", f64 = "double", i32 = "int32_t", i64 = "int64_t" }

--- What `f(w)` returns, run by one worker.
local function alone(f)
  return (epact.run({ workers = 1 }, f))
end

for _, kind in ipairs { "f32", "f64", "i32", "i64" } do
  describe("a table of " .. kind, function()
    for _, shape in ipairs { "dense", "sparse", "sparse_updates" } do
      it("of " .. shape .. " rows takes increments one by one and in batches alike", function()
        local options = { rows = 5, cols = 3, type = kind, sparse = shape == "sparse",
          sparse_updates = shape == "sparse_updates" }
        local ctype, real = element[kind], kind:sub(1, 1) == "f"
        local cells = alone(function(w)
          local cffi = require "ffi"
          local single, batch = w:table("single", options), w:table("batch", options)
          local function array(values) return cffi.new(ctype .. "[?]", #values, values) end
          local function one_by_one(row, col, delta) single:inc(row, col, delta) end
          local function dump(t)
            local values = {}
            for row = 0, 4 do
              for col = 0, 2 do values[#values + 1] = t:cell(row, col) end
            end
            return values
          end

          batch:inc_row(1, { 1, -2, 3 })
          batch:inc_row(1, array { 4, 5, 6 })
          batch:inc_row(2, cffi.cast("const " .. ctype .. " *", array { 7, 0, 9 }))
          for col, delta in ipairs { 5, 3, 9 } do one_by_one(1, col - 1, delta) end
          one_by_one(2, 0, 7)
          one_by_one(2, 2, 9)

          local row, col = cffi.new("uint32_t[4]", { 0, 4, 4, 0 }), cffi.new("uint32_t[4]", { 2, 1, 1, 2 })
          batch:inc_many(4, row, col, array { 10, 20, 30, 40 })
          one_by_one(0, 2, 50)
          one_by_one(4, 1, 50)
          if real then
            batch:inc_sparse(3, 2, cffi.new("uint32_t[2]", { 2, 0 }), cffi.new("double[2]", { 0.5, 4 }), -2)
            one_by_one(3, 2, -1)
            one_by_one(3, 0, -8)
          end
          if shape == "dense" then
            local all = {}
            for k = 1, 15 do all[k] = k end
            batch:inc_all(all)
            for k = 0, 14 do one_by_one(math.floor(k / 3), k % 3, k + 1) end
          end
          local before = { dump(single), dump(batch) }
          w:barrier()
          return { before[1], before[2], dump(single), dump(batch) }
        end)
        assert.equal(50 + (shape == "dense" and 3 or 0), cells[1][3])
        assert.same(cells[1], cells[2])
        assert.same(cells[1], cells[3])
        assert.same(cells[1], cells[4])
      end)
    end
  end)
end

describe("a table", function()
  it("gives a worker its own increments at once, and to the others at the next clock", function()
    local _, report = epact.run({ workers = 2 }, function(w)
      local t = w:table("t", { rows = 1, cols = 2 })
      local seen = { t:cell(0, w.id) }
      t:inc(0, w.id, 5)
      seen[2] = t:cell(0, w.id)
      w:clock()
      seen[3], seen[4] = t:cell(0, 0), t:cell(0, 1)
      return seen
    end)
    assert.same({ 0, 5, 5, 5 }, report.results[0][1])
    assert.same({ 0, 5, 5, 5 }, report.results[1][1])
  end)

  it("keeps the pointer of a row in its place", function()
    local same = alone(function(w)
      local t = w:table("t", { rows = 100, cols = 8 })
      local row, all = t:get(7), t:all()
      for i = 0, 99 do t:inc(i, 0, 1) end
      w:clock()
      return { t:get(7) == row, t:all() == all, row[0] == 1, all + 7 * 8 == row }
    end)
    assert.same({ true, true, true, true }, same)
  end)

  it("without declared rows takes any id below 2^53, and a new row at any time", function()
    local sums = alone(function(w)
      local t, sum = w:table("t", { cols = 2 }), 0
      local ids = { 0, 1, 17, 2 ^ 31, 2 ^ 32, 2 ^ 52 + 1, 2 ^ 53 - 1 }
      for round = 1, 3 do
        for k, id in ipairs(ids) do t:inc(id * 1, 1, k * round) end
        w:clock()
        t:fetch(ids)
      end
      for k, id in ipairs(ids) do sum = sum + t:cell(id, 1) / k + t:cell(id, 0) end
      t:inc(12345LL, 0, 3)
      return { sum, t:cell(12345, 0), t:cell(777, 0) }
    end)
    assert.same({ 6 * 7, 3, 0 }, sums)
  end)

  it("refuses an id that a sparse log cannot tell from another", function()
    local told = alone(function(w)
      local t = w:table("t", { cols = 2 ^ 20, sparse = true })
      local reads, why_reads = pcall(function() t:get(2 ^ 43) end)
      local incs, why_incs = pcall(function() t:inc(2 ^ 52 + 5, 3, 1) end)
      t:inc(2 ^ 43 - 1, 2 ^ 20 - 1, 7)
      w:clock()
      return { reads, why_reads, incs, why_incs, t:cell(2 ^ 43 - 1, 2 ^ 20 - 1), t:cell(5, 3) }
    end)
    assert.is_false(told[1])
    assert.matches("row 8796093022208 is outside %[0, 8796093022208%) %[E_RANGE%]", told[2])
    assert.is_false(told[3])
    assert.matches("row 4503599627370501 is outside", told[4])
    assert.same({ 7, 0 }, { told[5], told[6] })
  end)

  it("may be opened late, by one worker, and again by the same", function()
    local _, report = epact.run({ workers = 3 }, function(w)
      for _ = 1, 4 do w:clock() end
      if w.id == 1 then
        local late = w:table("late", { rows = 2, cols = 2, type = "i64" })
        late:inc(1, 1, 40)
        w:table("late", { rows = 2, cols = 2, type = "i64" }):inc(1, 1, 2)
      end
      w:barrier()
      return w:table("late", { rows = 2, cols = 2, type = "i64" }):cell(1, 1)
    end)
    for i = 0, 2 do assert.equal(42, report.results[i][1]) end
  end)

  it("of another shape in another worker stops the job with both shapes", function()
    local ok, why = pcall(epact.run, { workers = 2 }, function(w)
      w:table("t", { rows = 3, cols = 4 + w.id })
      w:barrier()
    end)
    assert.is_false(ok)
    assert.matches("3 x [45] f64 dense, not 3 x [45] f64 dense %[E_SCHEMA%]", why)
  end)

  it("sums integers exactly, up to 64 bits", function()
    local sums = alone(function(w)
      local cffi = require "ffi"
      local i64, i32 = w:table("i64", { rows = 1, cols = 1, type = "i64" }),
        w:table("i32", { rows = 1, cols = 1, type = "i32" })
      i64:inc_row(0, cffi.new("int64_t[1]", { 2LL ^ 62 }))
      i64:inc(0, 0, 1)
      i32:inc(0, 0, 2147483647)
      w:clock()
      return { i64:get(0)[0], i32:get(0)[0] }
    end)
    assert.is_true(sums[1] == 2LL ^ 62 + 1)
    assert.equal(2147483647, sums[2])
  end)

  it("counts and shows itself", function()
    local shown = alone(function(w)
      local t = w:table("counts", { rows = 3, cols = 4, sparse = true, type = "i32", staleness = math.huge })
      t:inc(1, 2, 3)
      w:clock()
      return { tostring(t), tostring(t:get(1)), t:stats().increments, tostring(w), w:stats().counts.increments }
    end)
    assert.equal("epact.table 'counts' <3 x 4 i32 sparse, Async, clock 1>", shown[1])
    assert.equal("epact.row 1 of 'counts' <1 cells>", shown[2])
    assert.same({ 1, "epact.worker 0 of 1 <rank 0 of 1, clock 1>", 1 }, { shown[3], shown[4], shown[5] })
  end)
end)

describe("a sparse row", function()
  it("reads as the worker's copy is now: after increments, clocks, and inside its own loop", function()
    local seen = alone(function(w)
      local t = w:table("t", { rows = 2, cols = 1000, sparse = true })
      local row = t:get(0)
      local empty = row:get(3)
      for col = 0, 999, 10 do t:inc(0, col, col + 1) end
      w:clock()
      local sum, cells = 0, 0
      for col, value in row:each() do -- which grows while it is walked
        sum, cells = sum + value - col, cells + 1
        t:inc(0, col + 1, 1)
      end
      t:inc(0, 0, -1) -- a cell that is 0 again is none
      local after = 0
      for _ in row:each() do after = after + 1 end
      return { empty, sum, cells, after, row:get(1), row:get(0), row:get(999) }
    end)
    assert.same({ 0, 100, 100, 199, 1, 0, 0 }, seen)
  end)
end)

describe("a worker", function()
  it("has streams of its own, the same for the same seed", function()
    local draws = {}
    for _, seed in ipairs { 1, 1, 2 } do
      local _, report = epact.run({ workers = 2, seed = seed }, function(w)
        return w:rng():uniform(), w:rng(7):uniform()
      end)
      draws[#draws + 1] = report.results
    end
    assert.same(draws[1], draws[2])
    assert.are_not.equal(draws[1][0][1], draws[1][1][1])
    assert.equal(draws[1][0][2], draws[1][1][2])
    assert.are_not.equal(draws[1][0][1], draws[3][0][1])
  end)

  it("shares plain memory with the others of its process", function()
    local _, report = epact.run({ workers = 4 }, function(w)
      local x = w:shared("x", 4, "i64")
      x[w.id] = w.id + 1
      w:barrier()
      return tonumber(x[0] + x[1] + x[2] + x[3]), tonumber(require "ffi".cast("intptr_t", x))
    end)
    for i = 0, 3 do
      assert.equal(10, report.results[i][1])
      assert.equal(report.results[0][2], report.results[i][2])
    end
  end)
end)
