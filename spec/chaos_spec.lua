--- Jobs whose processes are killed and paused at random: the short version of spec/bench/chaos.lua.
local chaos = require "support.chaos"
local jobs = require "support.jobs"

describe("jobs that are disturbed", function()
  it("end as they should: no hang, no wrong sum, no other error", function()
    local least = jobs.timed and 20 or 5
    local seed, blows, failures = os.time() % 100000 * 100, 0, {}
    chaos.run(function()
      if blows >= least then return nil end
      seed = seed + 1
      return chaos.plan(seed, { "fail", "continue", "restart", "elastic" })
    end, { beside = jobs.timed and 5 or 2, on_end = function(trial)
      blows = blows + #trial.events
      for _, failure in ipairs(trial.failures) do
        failures[#failures + 1] = ("%s: luajit spec/bench/chaos.lua --modes %s --seed %d\n%s\n%s"):format(failure.kind,
          "fail,continue,restart,elastic", trial.plan.seed, chaos.describe(trial.plan), failure.text)
      end
    end })
    for i = #failures, 1, -1 do -- of a process that was not heard because this machine stood still
      if failures[i]:find "^stall" then table.remove(failures, i) end
    end
    assert.same({}, failures)
    assert.is_true(blows >= least, tostring(blows))
  end)

  it("are planned by their seed alone", function()
    local modes = { "fail", "continue", "restart", "link", "elastic" }
    for seed = 1, 50 do assert.same(chaos.plan(seed, modes), chaos.plan(seed, modes)) end
    assert.not_same(chaos.plan(1, modes), chaos.plan(2, modes))
  end)
end)

describe("the judge of sums", function()
  local plan = { processes = 3, workers = 1, servers = 2, clocks = 9 }
  local function judge(text, lost) return chaos.judge_sums(plan, chaos.numbers(text), lost or {}) end

  it("wants all clocks of who was there", function()
    assert.is_nil(judge "9 9 9  9 9 9  9 9 9")
    assert.equal("row 1 has 8 of 9 clocks of worker 2", judge "9 9 9  9 9 8  9 9 9")
    assert.equal("row 0 has 10 of 9 clocks of worker 0", judge "10 9 9")
    assert.equal("0 cells", judge "")
    assert.equal("2 cells", judge "9 9")
  end)

  it("wants whole clocks on each shard of who was lost", function()
    local lost = { [2] = true }
    assert.is_nil(judge("9 9 4  9 9 5  9 9 4", lost))
    assert.equal("row 2 has 5 clocks of lost worker 2, row 0 has 4", judge("9 9 4  9 9 5  9 9 5", lost))
    assert.is_truthy(judge("9 9 10", lost))
  end)
end)
