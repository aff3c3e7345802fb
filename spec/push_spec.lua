-- Pushed tables (ESSP) and the rows a process keeps for its workers: the same promises as without, fewer bytes, less
-- waiting. What happens when messages get lost is in the simulator.
local epact = require "epact"
local jobs = require "support.jobs"

local head = 'local epact, jobs, staleness = require "epact", require "support.jobs", require "support.staleness"\n'

--- Runs a script in processes; returns what each printed.
local function run(body, given)
  given = given or {}
  given.processes = given.processes or 2
  local results, printed = jobs.run(head .. body, given), {}
  for rank = 0, given.processes - 1 do
    assert.equal("", results[rank].errors)
    assert.equal(0, results[rank].code)
    printed[rank] = results[rank].output
  end
  return printed
end

-- "name number" lines as a table.
local function numbers(text)
  local found = {}
  for name, value in text:gmatch "([%w_]+) (%S+)\n" do found[name] = tonumber(value) end
  return found
end

describe("a pushed table", function()
  local probe = [[
    local bounds, tables = { 0, 1, 2, 3, math.huge }, {}
    for _, bound in ipairs(bounds) do
      tables["dense_" .. bound] = { push = true, staleness = bound, type = "f32" }
      tables["logged_" .. bound] = { push = true, staleness = bound, sparse_updates = true, changes = true }
      tables["hash_" .. bound] = { push = true, staleness = bound, sparse = true, type = "i64" }
    end
    local _, report = epact.run({ workers = %d, cache = %s }, function(w)
      return staleness.probe(w, { seed = 3, clocks = 60, rounds = 1, work = 1500, tables = tables })
    end)
    for name, found in pairs(staleness.sum(report.results)) do print(name, found.behind) end
    local evicted = 0
    for _, table in pairs(report.tables) do evicted = evicted + table.evictions end
    print("evicted", evicted)
  ]]

  for _, case in ipairs {
    { 2, 2, "ipc", "nil" }, { 2, 3, "ipc", "{ rows = 1 }" }, { 3, 1, "tcp", "{ bytes = 900 }" },
    { 2, 2, "tcp", "{ bytes = 1 }" },
  } do
    local processes, workers, transport, cache = unpack(case)
    it(("of %d x %d over %s, cache %s, keeps the rule of staleness"):format(processes, workers, transport, cache),
      function()
        local printed = run(probe:format(workers, cache), { processes = processes, transport = transport })
        for rank = 0, processes - 1 do
          local seen = 0
          for form, bound, behind in printed[rank]:gmatch "(%l+)_(%w+)\t(%d+)\n" do
            seen = seen + 1
            if bound ~= "inf" then assert.is_true(tonumber(behind) <= tonumber(bound), form .. bound) end
          end
          assert.equal(15, seen)
          local evicted = tonumber(printed[rank]:match "evicted\t(%d+)")
          if cache == "nil" then assert.equal(0, evicted) else assert.is_true(evicted > 100) end
        end
      end)
  end

  it("gives the same bits as any placement in a deterministic job", function()
    local body = [[
      print((epact.run({ workers = %d, deterministic = true, seed = 4 }, function(w)
        local rng, digest = w:rng(), 0
        local dense = w:table("dense", { rows = 6, cols = 40, push = true })
        local logged = w:table("logged", { rows = 6, cols = 40, push = true, sparse_updates = true })
        for _ = 1, 40 do
          for _, t in ipairs { dense, logged } do
            for row = 0, 5 do
              local view = t:get(row)
              for col = 0, 39 do digest = digest * 0.75 + view[col] end
            end
            for _ = 1, 3 do t:inc(rng:below(6), rng:below(40), rng:uniform() - 0.5) end
            local there, back = rng:below(6), rng:uniform()
            t:inc(there, 7, back)
            t:inc(there, 7, -back)
          end
          w:clock()
        end
        w:barrier()
        local sum = 0
        for row = 0, 5 do
          for col = 0, 39 do sum = sum * 0.5 + dense:cell(row, col) + logged:cell(row, col) end
        end
        return ("%%.17g %%.17g"):format(sum, w.id == 0 and digest or 0)
      end)))
    ]]
    local alone = run(body:format(4), { processes = 1 })[0]
    assert.equal(alone, run(body:format(2))[0])
    assert.equal(alone, run(body:format(1), { processes = 4 })[0])
  end)

  -- Two jobs that differ in `push` alone: 40 wide rows of which each worker changes one cell a clock.
  local wide = [[
    local sum, report = epact.run({ workers = 2, staleness = %d }, function(w)
      local t = w:table("t", { rows = 40, cols = 1000, push = %s, %s })
      for clock = 1, 50 do
        t:fetch()
        for row = 0, 39 do t:inc(row, (w.id * 7 + clock) %% 1000, 1) end
        for row = 0, 39 do t:cell(row, 3) end
        w:clock()
      end
      w:barrier()
      local total = 0
      for row = 0, 39 do
        for col = 0, 999 do total = total + t:cell(row, col) end
      end
      return total
    end)
    local t = report.tables.t
    print("sum " .. sum)
    print("read " .. t.bytes_rows)
    print("pushed " .. t.bytes_pushed)
    print("hits " .. t.hits)
    print("stale " .. t.staleness_mean)
  ]]

  for _, form in ipairs { "sparse_updates = true", "sparse = true", "type = 'f32'" } do
    it("of the form " .. form .. " moves fewer bytes than reading rows anew where few cells change", function()
      local without, with = run(wide:format(1, "false", form)), run(wide:format(1, "true", form))
      for rank = 0, 1 do
        local read, pushed = numbers(without[rank]), numbers(with[rank])
        assert.equal(4 * 50 * 40, read.sum)
        assert.equal(4 * 50 * 40, pushed.sum)
        assert.equal(0, read.pushed)
        assert.is_true(pushed.pushed > 0 and pushed.hits > read.hits)
        assert.is_true(pushed.pushed + pushed.read < read.read / 4, with[rank] .. without[rank])
      end
    end)
  end

  it("is fresher than the staleness allows", function()
    local function stale(push) -- of three runs: how processes get the cores decides much
      local sum = 0
      for _ = 1, 3 do
        local printed = run(wide:format(3, push, "type = 'f64'"))
        sum = sum + numbers(printed[0]).stale + numbers(printed[1]).stale
      end
      return sum
    end
    local without, with = stale "false", stale "true"
    assert.is_true(with < without, ("%g, without %g"):format(with, without))
  end)

  it("sends nothing for rows that were let go, nor to processes that have left", function()
    local printed = run [[
      epact.run({ workers = 1, cache = { rows = 4 } }, function(w)
        local t = w:table("t", { rows = 64, cols = 2, push = true })
        if w.rank == 1 then t:fetch() end
        w:barrier()
        if w.rank == 0 then
          print("first " .. t:stats().subscribed)
          for row = 0, 63 do t:inc(row, 0, 1) end
        end
        w:barrier()
        if w.rank == 1 then t:get(0) t:get(1) end -- the first request tells
        w:barrier()
        if w.rank == 0 then print("then " .. t:stats().subscribed) end
        w:barrier()
        if w.rank == 1 then return end
        w:barrier()
        w:barrier()
        print("left " .. t:stats().subscribed)
      end)
    ]]
    local subscribed = numbers(printed[0])
    assert.equal(32, subscribed.first)
    assert.is_true(subscribed["then"] >= 1 and subscribed["then"] <= 5, printed[0])
    assert.equal(0, subscribed.left)
  end)

  it("hands out its changes as well", function()
    local printed = run [[
      local _, report = epact.run({ workers = 2 }, function(w)
        local t = w:table("t", { rows = 4, cols = 4, sparse_updates = true, changes = true, push = true })
        local sum, seen = 0, 0
        for clock = 1, 20 do
          for section, value in t:changes() do
            for i = 0, section.start[section.rows] - 1 do sum = sum + value[i] end
          end
          for row = 0, 3 do seen = seen + t:cell(row, 1) end
          t:inc(clock % 4, 1, 1)
          w:clock()
        end
        w:barrier()
        for section, value in t:changes() do
          for i = 0, section.start[section.rows] - 1 do sum = sum + value[i] end
        end
        return sum, seen
      end)
      print("sum " .. report.results[1][1])
      print("seen " .. report.results[1][2])
    ]]
    for rank = 0, 1 do
      local found = numbers(printed[rank])
      assert.equal(3 * 20, found.sum) -- of the others
      assert.is_true(found.seen >= 4 * 19 * 20 / 2) -- at clock c, c of each worker at least
    end
  end)

  it("is an ordinary table in one process", function()
    local sum, report = epact.run({ workers = 3, staleness = 1 }, function(w)
      local t = w:table("t", { rows = 2, cols = 2, push = true })
      for _ = 1, 30 do
        t:inc(1, 1, 1)
        t:get(1)
        w:clock()
      end
      w:barrier()
      return t:cell(1, 1)
    end)
    assert.equal(90, sum)
    assert.equal(0, report.tables.t.bytes_pushed + report.tables.t.subscribed)
  end)

  it("is one for all its workers", function()
    assert.has_error(function()
      epact.run({ workers = 1 }, function(w)
        w:table("t", { cols = 2, push = true })
        w:table("t", { cols = 2 })
      end)
    end)
    local _, message = pcall(epact.run, { workers = 1 }, function(w)
      w:table("t", { cols = 2, push = true })
      w:table("t", { cols = 2 })
    end)
    assert.matches("table 't' is any x 2 f64 dense, pushed, not any x 2 f64 dense %[E_SCHEMA%]", message)
  end)
end)

describe("the rows a process keeps", function()
  it("serve all its workers, pushed or not", function()
    local printed = run [[
      local _, report = epact.run({ workers = 3 }, function(w)
        local t = w:table("t", { rows = 64, cols = 100 })
        w:barrier()
        for first = 0, 2 do -- one after the other
          if w.index == first then t:fetch() end
          w:barrier()
        end
      end)
      print("hits " .. report.tables.t.hits)
      print("fetched " .. report.tables.t.fetches)
    ]]
    -- A barrier makes rows of before it too old: what is shared is read between two of them.
    for rank = 0, 1 do
      local counted = numbers(printed[rank])
      assert.equal(0, counted.hits)
      assert.is_true(counted.fetched >= 3 * 32)
    end
    printed = run [[
      local _, report = epact.run({ workers = 3, staleness = 5 }, function(w)
        local t = w:table("t", { rows = 64, cols = 100 })
        w:barrier()
        if w.index == 0 then t:fetch() end
        w:clock() w:clock()
        w:table("all", { rows = 1, cols = 1, staleness = 0 }):get(0) -- the first has read: all have come so far
        t:fetch()
        return t:stats().hits
      end)
      local results = report.results
      print("second " .. results[1][1])
      print("third " .. results[2][1])
    ]]
    for rank = 0, 1 do assert.same({ second = 32, third = 32 }, numbers(printed[rank])) end
  end)

  it("are bounded by options that are checked", function()
    local function complaint(cache)
      local _, message = pcall(epact.run, { workers = 1, cache = cache }, function() end)
      return message
    end
    assert.matches("epact.run: cache: unknown option 'row' %(did you mean 'rows'%?%)", complaint { row = 2 })
    assert.matches("epact.run: cache: option 'bytes' must be an integer >= 1, got 0", complaint { bytes = 0 })
    assert.matches("epact.run: option 'cache' must be a table, got 12", complaint(12))
  end)
end)

describe("waits", function()
  it("are counted by what was waited for", function()
    local printed = run [[
      local _, report = epact.run({ workers = 1 }, function(w)
        local t, sum, rng = w:table("t", { rows = 8, cols = 8 }), 0, w:rng()
        for _ = 1, 20 do
          t:fetch()
          if w.rank == 1 then for _ = 1, 3000000 do sum = sum + rng:uniform() end end
          w:clock()
        end
        return sum
      end)
      print("clock " .. report.tables.t.wait_clock)
      print("net " .. report.tables.t.wait_net)
      print("all " .. report.tables.t.wait_seconds)
    ]]
    local fast, slow = numbers(printed[0]), numbers(printed[1])
    assert.near(fast.all, fast.clock + fast.net, 1e-9)
    assert.is_true(fast.clock > 0 and slow.net > 0)
    if jobs.timed then assert.is_true(fast.clock > fast.net and fast.clock > slow.clock, printed[0] .. printed[1]) end
  end)

  it("for batches to be applied are counted by worker", function()
    local _, report = epact.run({ workers = 2, deterministic = true }, function(w)
      local t, sum, rng = w:table("t", { rows = 2, cols = 2 }), 0, w:rng()
      if w.id == 1 then for _ = 1, 3e6 do sum = sum + rng:uniform() end end
      for _ = 1, 200 do
        t:inc(0, 0, 1)
        w:clock()
      end
      return sum
    end)
    assert.is_true(report.wait_room > 0)
  end)
end)
