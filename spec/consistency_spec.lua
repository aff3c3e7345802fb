-- The consistency models, as properties of what workers read: SSP's bound, tight and never exceeded, in threads and in
-- processes; barriers; the deterministic mode's bits; plain shared memory.
local epact = require "epact"
local jobs = require "support.jobs"
local staleness = require "support.staleness"

local function observe(workers, options)
  local _, report = epact.run({ workers = workers }, function(w) return staleness.probe(w, options) end)
  return staleness.sum(report.results), report
end

local reads = 0

describe("a read at clock c", function()
  for _, bound in ipairs { 0, 1, 2, 3, 4, math.huge } do
    for _, workers in ipairs { 2, 3, 5, 8 } do
      it(("with staleness %s of %d workers is at most so far behind"):format(bound, workers), function()
        local found = observe(workers, { seed = workers, clocks = 150, rounds = 4, work = 1500, tables = {
          dense = { staleness = bound }, hash = { staleness = bound, sparse = true, type = "i64" },
          logged = { staleness = bound, sparse_updates = true, type = "f32" },
        } })
        for name, table in pairs(found) do
          reads = reads + table.reads
          if bound < math.huge then -- worker 0 is slow: the others do run as far ahead as they may
            assert.equal(bound, table.behind, name)
          else
            assert.is_true(table.behind > 4, name)
          end
        end
      end)
    end
  end

  it("was looked at hundreds of thousands of times by now", function()
    assert.is_true(reads > 500000, tostring(reads))
  end)

  it("obeys its own table's staleness where tables of one job differ", function()
    local found, report = observe(4, { seed = 5, clocks = 200, rounds = 2, work = 1500, tables = {
      bsp = { staleness = 0 }, two = { staleness = 2 }, five = { staleness = 5, sparse = true },
      async = { staleness = math.huge },
    } })
    assert.equal(0, found.bsp.behind)
    for name, table in pairs(found) do -- all wait for the BSP table, so none gets further behind than its own rule
      assert.is_true(table.behind <= 1, name)
      assert.equal(table.reads, report.tables[name].reads / 2, name) -- `cell` reads the row, and then the cell
    end
  end)

  it("of a table with more staleness waits less: the wait is counted where it is spent", function()
    local _, report = observe(4, { seed = 5, clocks = 100, rounds = 1, work = 6000, tables = {
      bsp = { staleness = 0 }, async = { staleness = math.huge },
    } })
    local bsp, async = report.tables.bsp, report.tables.async
    assert.is_true(bsp.wait_seconds > 0)
    if jobs.timed then assert.is_true(async.wait_seconds < bsp.wait_seconds) end
    assert.equal(0, bsp.staleness_max)
  end)

  it("has a rule that a broken server would not pass", function()
    local options = { seed = 2, clocks = 60, rounds = 1, work = 1500, tables = { t = { staleness = 3 } } }
    local _, report = epact.run({ workers = 3 }, function(w)
      local strict = { seed = options.seed, clocks = options.clocks, rounds = 1, work = options.work, claim = 2,
        tables = options.tables }
      return staleness.probe(w, strict)
    end)
    assert.has_error(function() staleness.sum(report.results) end)
  end)
end)

describe("processes", function()
  local script = [[
    local epact, staleness = require "epact", require "support.staleness"
    local options = { seed = 3, clocks = 100, rounds = 2, work = 1500, tables = {
      bsp = { staleness = %s }, dense = { staleness = 1 }, hash = { staleness = 4, sparse = true, type = "i64" },
      logged = { staleness = math.huge, sparse_updates = true, type = "f32" },
    } }
    local _, report = epact.run({ workers = %d }, function(w) return staleness.probe(w, options) end)
    for name, found in pairs(staleness.sum(report.results)) do print(name, found.reads, found.behind) end
  ]]

  for _, case in ipairs { { 2, 2, "ipc", 0 }, { 2, 2, "tcp", 3 }, { 3, 1, "tcp", 6 }, { 4, 2, "ipc", 6 } } do
    local processes, workers, transport, bound = unpack(case)
    it(("%d x %d over %s keep the rule"):format(processes, workers, transport), function()
      local results = jobs.run(script:format(bound, workers), { processes = processes, transport = transport })
      local behind = {}
      for rank = 0, processes - 1 do
        assert.equal("", results[rank].errors)
        assert.equal(0, results[rank].code)
        for name, read, most in results[rank].output:gmatch "(%w+)%s+(%d+)%s+(%d+)\n" do
          behind[name] = math.max(behind[name] or 0, tonumber(most))
          assert.equal(200 * workers * workers * processes, tonumber(read))
        end
      end
      assert.is_true(behind.bsp <= bound and behind.dense <= 1 and behind.hash <= 4)
      if bound > 0 then assert.is_true(behind.bsp > 0 and behind.dense > 0 and behind.hash > 0) end
    end)
  end
end)

describe("a barrier", function()
  it("shows each worker what all published before it, whatever the staleness", function()
    local _, report = epact.run({ workers = 6, staleness = math.huge }, function(w)
      local t, wrong, rng = w:table("t", { rows = 6, cols = 1 }), 0, w:rng()
      for round = 1, 50 do
        t:inc(w.id, 0, 1)
        for _ = 1, rng:below(2000) do rng:uniform() end
        w:barrier()
        for q = 0, 5 do
          local value = t:cell(q, 0)
          if value < round or value > round + 1 then wrong = wrong + 1 end
        end
      end
      return wrong, w:now()
    end)
    for i = 0, 5 do assert.same({ 0, 50 }, report.results[i]) end
  end)
end)

describe("the deterministic mode", function()
  -- f64 sums that depend on their order, read back and fed into the next increments, so that a bit spreads.
  local body = [[
    local function run(w)
      local filter = %s
      local dense = w:table("dense", { rows = 6, cols = 5, filter = filter })
      local hash = w:table("hash", { cols = 40, sparse = true, filter = filter })
      local feed = w:table("feed", { rows = 4, cols = 3, sparse_updates = true, changes = true, filter = filter })
      local rng, replica = w:rng(), {}
      for k = 0, 11 do replica[k] = 0 end
      for clock = 1, 30 do
        for row = 0, 5 do
          local view = dense:get(row)
          dense:inc(row, rng:below(5), rng:normal() + 1e-3 * view[clock %% 5])
          hash:inc(row * 1000003, rng:below(40), rng:normal() + 1e-3 * hash:cell(row * 1000003, clock))
          feed:inc(row %% 4, clock %% 3, rng:normal() + 1e-3 * replica[row])
        end
        for _ = 1, rng:below(2000) * (w.id %% 3) do rng:uniform() end -- not all at once
        if clock %% 7 == 0 then w:barrier() else w:clock() end
        for section, value in feed:changes() do
          for i = 0, tonumber(section.rows) - 1 do
            for k = section.start[i], section.start[i + 1] - 1 do
              local cell = tonumber(section.row[i]) * 3 + section.col[k]
              replica[cell] = replica[cell] + value[k]
            end
          end
        end
      end
      w:barrier()
      local bits = {}
      for row = 0, 5 do
        for col = 0, 4 do bits[#bits + 1] = ("%%.17g"):format(dense:cell(row, col)) end
        for col = 0, 39 do bits[#bits + 1] = ("%%.17g"):format(hash:cell(row * 1000003, col)) end
      end
      local own = {}
      for k = 0, 11 do own[#own + 1] = ("%%.17g"):format(replica[k]) end
      return table.concat(bits, " "), table.concat(own, " ")
    end
    local epact = require "epact"
    local _, report = epact.run({ workers = %d, seed = 11, deterministic = %s }, run)
    for i = 0, #report.results do print(report.results[i][1]) print(report.results[i][2]) end
  ]]

  local function digest(processes, workers, deterministic, filter)
    local results = jobs.run(body:format(filter or "nil", workers, deterministic), { processes = processes })
    local lines = {}
    for rank = 0, processes - 1 do
      assert.equal("", results[rank].errors)
      lines[#lines + 1] = results[rank].output
    end
    return table.concat(lines)
  end

  it("gives the same bits again, and for 1 x 4, 2 x 2 and 4 x 1 workers", function()
    local reference = digest(1, 4, true)
    assert.is_true(#reference > 4 * 270 * 10)
    for _, place in ipairs { { 1, 4 }, { 2, 2 }, { 4, 1 }, { 2, 2 } } do
      assert.is_true(digest(place[1], place[2], true) == reference, place[1] .. " x " .. place[2])
    end
  end)

  it("gives the same bits where increments are rounded", function()
    local filter = "{ zero = true, precision = 'bf16' }"
    local reference = digest(1, 4, true, filter)
    assert.is_true(reference ~= digest(1, 4, true))
    for _, place in ipairs { { 2, 2 }, { 4, 1 } } do
      assert.is_true(digest(place[1], place[2], true, filter) == reference, place[1] .. " x " .. place[2])
    end
  end)

  it("is needed for that: without it these bits differ from run to run", function()
    local first = digest(1, 4, false)
    local differs = false
    for _ = 1, 5 do differs = differs or digest(1, 4, false) ~= first end
    assert.is_true(differs)
  end)

  it("refuses staleness, of the job and of a table", function()
    assert.error_matches(function() epact.run({ workers = 1, deterministic = true, staleness = 1 }, print) end,
      "epact.run: deterministic needs staleness 0, got 1$")
    assert.error_matches(function()
      epact.run({ workers = 1, deterministic = true }, function(w) w:table("t", { cols = 1, staleness = 2 }) end)
    end, "table 't': a deterministic job needs staleness 0, got 2")
  end)
end)

describe("shared memory", function()
  it("is seen by all without a clock: a worker ends another's loop through it", function()
    local _, report = epact.run({ workers = 2 }, function(w)
      local flag = w:shared("flag", 2, "i32")
      flag[w.id] = 1
      while flag[1 - w.id] == 0 do if w:stopped() then break end end
      return flag[0] + flag[1]
    end)
    assert.equal(2, report.results[0][1])
    assert.equal(2, report.results[1][1])
  end)
end)
