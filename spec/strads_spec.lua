local epact = require "epact"
local jobs = require "support.jobs"

-- Runs f on `workers` workers; returns what the first returned.
local function on(workers, f) return (epact.run({ workers = workers }, f)) end

local function message_of(workers, options)
  local ok, message = pcall(epact.run, { workers = workers }, function(w) epact.strads(w, options) end)
  assert.is_false(ok)
  return message
end

local function nothing() end

describe("strads", function()
  it("gives every worker the sum of all partial results, for every depth, and runs phases in order", function()
    for _, workers in ipairs { 1, 2, 3 } do
      for _, depth in ipairs { 0, 1, 3 } do
        local wrong, phases, updates = unpack(on(workers, function(w)
          local ffi, wrong, expected, at = require "ffi", 0, 0, 0
          local partial = ffi.new "double[10]"
          local program = epact.strads(w, { variables = 101, batch = 5, width = 2, depth = depth, phases = 200,
            schedule = function(_, phase)
              local vars = {}
              for i = 1, 1 + phase % 5 do vars[i] = (at + i) % 101 end
              at = at + #vars
              return vars
            end,
            push = function(vars, phase)
              for i, j in ipairs(vars) do
                partial[2 * i - 2] = 0.1 * j + w.id
                partial[2 * i - 1] = (phase % 3 == 0 and 1e300 or 1e-300) / (1 + w.id)
              end
              return partial
            end,
            pull = function(vars, sum, phase)
              if phase ~= expected then wrong = wrong + 1 end
              expected = expected + 1
              if #vars ~= 1 + phase % 5 then wrong = wrong + 1 end
              for i, j in ipairs(vars) do
                local first, second = 0, 0
                for id = 0, w.workers - 1 do
                  first, second = first + (0.1 * j + id), second + (phase % 3 == 0 and 1e300 or 1e-300) / (1 + id)
                end
                if sum[2 * i - 2] ~= first or sum[2 * i - 1] ~= second then wrong = wrong + 1 end
              end
            end })
          return { wrong, program.pulled, program.updates }
        end))
        assert.equal(0, wrong)
        assert.equal(200, phases)
        assert.equal(600, updates)
      end
    end
  end)

  it("pushes a phase when all but the last `depth` before it are pulled", function()
    for depth = 0, 3 do
      local log = on(2, function(w)
        local log, pulled, flight = {}, 0, 0
        epact.strads(w, { variables = 10, depth = depth, phases = 20,
          schedule = function(program, phase)
            local lists = program:in_flight()
            flight = math.max(flight, #lists)
            for i, list in ipairs(lists) do
              if list[1] ~= (phase - #lists + i - 1) % 10 then error "in_flight is out of order" end
            end
            return { phase % 10 }
          end,
          push = function(_, phase)
            log[phase] = phase - pulled
            return 1
          end,
          pull = function() pulled = pulled + 1 end })
        log.flight = flight
        return log
      end)
      for phase = 0, 19 do assert.equal(math.min(phase, depth), log[phase]) end
      assert.equal(2 * depth + 1, log.flight) -- d being pulled, this step's, d that wait
    end
  end)

  it("feeds a policy what the pull returned, on worker 0, and goes on with another run", function()
    local fed = on(2, function(w)
      local fed, at = {}, 0
      local policy = {
        next = function(_, k)
          at = at + 1
          return at <= 3 and { at, at + k } or false
        end,
        feed = function(_, vars, deltas) fed[#fed + 1] = ("%d:%g"):format(vars[2], deltas[2]) end,
      }
      local program = epact.strads.new(w, { variables = 20, batch = 4, schedule = policy,
        push = function(vars) return { vars[1], vars[2] * 0.5 } end,
        pull = function(_, sum) return { sum[0], sum[1] } end })
      program:run(1)
      program:run(1)
      local between = #fed
      program:run()
      return { fed, between, program.pulled, tostring(program) }
    end)
    assert.same({ { "5:5", "6:6", "7:7" }, 2, 3,
      "epact.strads 'strads' <20 variables, depth 0, 3 phases, 6 updates>" }, fed)
  end)

  it("keeps every sum over many runs, for every depth", function()
    for _, workers in ipairs { 2, 4 } do
      for depth = 0, 3 do
        local wrong = on(workers, function(w)
          local wrong = 0
          local program = epact.strads.new(w, { variables = 5, depth = depth,
            schedule = function(_, phase) return { phase % 5 } end,
            push = function(_, phase) return phase + w.id end,
            pull = function(vars, sum, phase)
              local expected = w.workers * phase + w.workers * (w.workers - 1) / 2
              if sum[0] ~= expected or vars[1] ~= phase % 5 then wrong = wrong + 1 end
            end })
          for i = 1, 50 do program:run(1 + i % 3) end
          return wrong
        end)
        assert.equal(0, wrong)
      end
    end
  end)

  it("needs depth 0 in a deterministic job", function()
    local ok, message = pcall(epact.run, { workers = 1, deterministic = true }, function(w)
      epact.strads(w, { variables = 3, depth = 1, schedule = nothing, push = nothing, pull = nothing })
    end)
    assert.is_false(ok)
    assert.is_truthy(message:find("strads: a deterministic job needs depth 0, got 1", 1, true), message)
  end)

  it("ends when the schedule says false, and waits with an empty list while a variable is in flight", function()
    local counts = on(2, function(w)
      local counts = {}
      local programs = { { "none", { false } }, { "two", { { 1 }, { 2 }, false } },
        { "gap", { { 1 }, {}, { 2 }, false } } }
      for _, program in ipairs(programs) do
        local name, list = unpack(program)
        counts[name] = epact.strads(w, { variables = 3, depth = 1, name = name,
          schedule = function(_, phase) return list[phase + 1] end, push = function() end, pull = nothing }).pulled
      end
      return counts
    end)
    assert.same({ none = 0, two = 2, gap = 3 }, counts)
  end)

  it("gives the same bits for any placement of the workers", function()
    local script = [[
      local epact = require "epact"
      local total = epact.run({ workers = %d }, function(w)
        local total = 0
        epact.strads(w, { variables = 7, depth = 1, phases = 300,
          schedule = function(_, phase) return { phase %% 7 } end,
          push = function(vars, phase) return math.sin(w.id + 1 + phase * vars[1]) + total end,
          pull = function(_, sum) total = (total + sum[0]) / 3 end })
        return total
      end)
      print(("total %%.17g"):format(total))]]
    local expected
    for _, processes in ipairs { 1, 2, 4 } do
      local results = jobs.run(script:format(4 / processes), { processes = processes })
      for rank = 0, processes - 1 do
        local total = results[rank].output:match "total (%S+)"
        assert.is_truthy(total, results[rank].errors)
        expected = expected or total
        assert.equal(expected, total)
      end
    end
  end)

  describe("loses a worker in the middle of a phase:", function()
    -- Worker 2 is killed while it pushes phase 50. Each gives its own power of ten.
    local script = [[
      local epact = require "epact"
      local sums = epact.run({ workers = 1, lease = 2, servers = 1, on_loss = "%s" }, function(w)
        local sums = {}
        epact.strads(w, { variables = 9, depth = %d, phases = 200,
          schedule = function(_, phase) return { phase %% 9 } end,
          push = function(_, phase)
            if w.id == 2 and phase == 50 then os.execute "kill -9 $PPID" end
            return 10 ^ w.id
          end,
          pull = function(_, sum, phase) sums[phase + 1] = sum[0] end })
        return sums
      end)
      print(table.concat(sums, " "))]]

    it("an error that names it, everywhere", function()
      local results = jobs.run(script:format("fail", 0), { processes = 3 })
      for rank = 0, 1 do
        assert.equal(1, results[rank].code, results[rank].errors)
        assert.matches("rank 2 was lost (worker 2, ", results[rank].errors, 1, true)
        assert.matches("[E_LOST]", results[rank].errors, 1, true)
      end
    end)

    for _, depth in ipairs { 0, 2 } do
      it(("the others go on without what it gave, depth %d"):format(depth), function()
        local results = jobs.run(script:format("continue", depth), { processes = 3 })
        local expected = {}
        for phase = 0, 199 do expected[phase + 1] = phase < 50 and 111 or 11 end
        for rank = 0, 1 do
          assert.equal(0, results[rank].code, results[rank].errors)
          assert.equal(table.concat(expected, " "), results[rank].output:match "[^\n]*")
        end
      end)
    end
  end)

  it("names the phase when a schedule returns what it must not", function()
    local cases = {
      { function() end, "phase 2: schedule must return a list of variables, or false to end, got nil" },
      { function() return {} end, "phase 2: schedule returned an empty list, and no variable is in flight" },
      { function() return { 1, 2, 1 } end, "phase 2: schedule returned variable 1 twice" },
      { function() return { 1, 9 } end, "phase 2: schedule returned 9, which is no variable in 0 .. 8" },
      { function() return { -1 } end, "returned -1, which is no variable" },
      { function() return { 0.5 } end, "returned 0.5, which is no variable" },
      { function() return { "a" } end, 'returned "a", which is no variable' },
      { function() return { 0, 1, 2, 3 } end, "returned 4 variables, more than option 'batch' = 3" },
    }
    for _, case in ipairs(cases) do
      local bad, started = case[1], 0
      local message = message_of(2, { variables = 9, batch = 3,
        schedule = function(program, phase)
          started = started + 1
          if phase < 2 then return { 0 } end
          if program.pulled < 2 then return { 1 } end
          return bad()
        end, push = nothing, pull = nothing })
      message = message:gsub("phase %d:", "phase 2:", 1)
      assert.is_truthy(message:find(case[2], 1, true), message)
    end
  end)

  it("names the phase when push or pull return what they must not", function()
    local function schedule() return { 0, 1 } end
    local cases = {
      { function() return { 1 } end, nothing, "phase 0: push returned 1 numbers, expected 2" },
      { function() return { 1, "x" } end, nothing, 'phase 0: push returned "x"' },
      { function() return { 1, 0 / 0 } end, nothing, "[E_NONFINITE]" },
      { function() return 1 end, nothing, "phase 0: push must return 2 numbers" },
      { function() return require "ffi".new "double[1]" end, nothing, "what push returned has 1 elements, expected 2" },
      { function() return require "ffi".new "float[2]" end, nothing, "what push returned must be an array of double" },
      { nothing, function() return { 1 } end, "phase 0: pull must return a list of 2 changes or nothing, got a list" },
      { nothing, function() return 7 end, "phase 0: pull must return a list of 2 changes or nothing, got 7" },
    }
    for _, case in ipairs(cases) do
      local message = message_of(1, { variables = 9, schedule = schedule, push = case[1], pull = case[2] })
      assert.is_truthy(message:find(case[3], 1, true), message)
    end
  end)

  it("refuses wrong options, and a name that is taken", function()
    local function with(change)
      local options = { variables = 3, schedule = nothing, push = nothing, pull = nothing }
      for name, value in pairs(change) do options[name] = value end
      return message_of(1, options)
    end
    assert.is_truthy(with({ pushh = 1 }):find("unknown option 'pushh' (did you mean 'push'?)", 1, true))
    assert.is_truthy(with({ variables = 0 }):find("option 'variables' must be an integer >= 1", 1, true))
    assert.is_truthy(with({ schedule = 3 }):find("must be a function or have a method 'next', got 3", 1, true))
    local ok, message = pcall(on, 1, function(w)
      local o = { variables = 3, schedule = function() return false end, push = nothing, pull = nothing }
      epact.strads(w, o)
      epact.strads(w, o)
    end)
    assert.is_false(ok)
    assert.is_truthy(message:find("give the model another name", 1, true), message)
    assert.is_truthy(select(2, pcall(epact.strads, {}, {})):find("the first argument must be the worker", 1, true))
  end)
end)
