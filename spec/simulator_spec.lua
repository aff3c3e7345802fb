-- The protocol under a virtual network, the planted bugs it must find, and the server under real threads. What is
-- checked is in the C programs of spec/sim and in spec/stress.c; this runs them.
local process = require "support.process"

local build = os.getenv "EPACT_BUILD" or "build"

--- Runs a program of the build and returns what it printed and its exit code.
local function run(program, arguments)
  local path = build .. "/test/" .. program
  local file = io.open(path)
  if not file then error(path .. " is not built: run 'make programs' first", 0) end
  file:close()
  return process.run(process.quote(path) .. " " .. (arguments or ""))
end

local function number_before(output, what)
  return tonumber(output:match("(%d+) " .. what)) or error("no '" .. what .. "' in: " .. output)
end

describe("the protocol under a virtual network", function()
  it("keeps its promises whatever gets lost, repeated, delayed or forged", function()
    local output, code = run("simulator", "--seeds 400 --first 100000")
    assert.equal(0, code, output)
    assert.equal(400, number_before(output, "seeds"))
    local least = { lost = 10000, repeated = 5000, reads = 10000, changes = 1000, barriers = 1000, cuts = 500,
      joined = 20 }
    least["hostile frames"] = 10000
    least.crashes, least.resumed, least.torn = 100, 100, 30
    least["journals written"], least["failures of a disk"], least["frames of earlier lives"] = 2000, 100, 300
    for what, count in pairs { pushes = 10000, ["mirror hits"] = 2000, evictions = 10000, unsubscriptions = 5000 } do
      least[what] = count
    end
    for what, count in pairs(least) do assert.is_true(number_before(output, what) >= count, output) end
  end)

  it("plays one seed again, message by message, the same each time", function()
    local first, code = run("simulator", "--seed 7 --verbose")
    assert.equal(0, code, first)
    assert.matches("^seed 7 network 7: %d workers, %d shards", first)
    assert.matches("deliver%s+BATCH", first)
    assert.equal(first, (run("simulator", "--seed 7 --verbose")))
  end)

  it("refuses options it does not know, and lists the planted bugs", function()
    local output, code = run("simulator", "--plant nonsense")
    assert.equal(2, code)
    assert.matches("plants: need stamp", output)
    assert.equal(2, select(2, run("simulator", "--seeds")))
  end)
end)

describe("a planted bug", function()
  local invariant_of = {
    ["need"] = "I2", ["stamp"] = "I2", ["early%-ack"] = "I1", ["forget"] = "I1", ["twice"] = "I%d", ["gap"] = "I%d",
    ["no%-overlay"] = "I3", ["overlay%-more"] = "I3", ["old%-answer"] = "I%d", ["floor"] = "I2", ["feed%-skip"] = "I%d",
    ["feed%-repeat"] = "I%d", ["torn"] = "I%d", ["final"] = "I%d", ["unordered"] = "I2", ["order"] = "determinism",
    ["cut"] = "I6", ["join"] = "I%d", ["evict"] = "I%d", ["sync"] = "I6", ["part"] = "I6", ["failed"] = "I6",
    ["turn"] = "I6", ["late%-turn"] = "I6",
    ["crc"] = "I6", ["clock"] = "I6", ["replay"] = "I6", ["state"] = "I6 state", ["remove"] = "I6", ["fence"] = "I%d",
    ["life"] = "I6", ["no%-state"] = "I6 promise", ["early%-state"] = "I6 promise", ["finished"] = "I6 promise",
    ["last%-state"] = "I6", ["late%-copy"] = "I6", ["half%-copy"] = "I6",
    ["push%-gap"] = "I%d", ["push%-early"] = "I%d",
    ["push%-cells"] = "I%d", ["unsubscribed"] = "I%d", ["mirror%-old"] = "I%d", ["bare%-copy"] = "I3",
  }

  it("is told by each name the simulator knows", function()
    local names = run("simulator", "--help"):match("plants: ([^\n]+)")
    for name in names:gmatch "%S+" do assert.is_string(invariant_of[name:gsub("%-", "%%-")], name) end
    for name in pairs(invariant_of) do assert.matches(name, names) end
  end)

  for pattern, invariant in pairs(invariant_of) do
    local name = pattern:gsub("%%", "")
    it(name .. " is found within 1000 seeds", function()
      local output, code = run("simulator", "--seeds 1000 --plant " .. name)
      assert.equal(0, code, output)
      assert.matches("planted bug found: seed %d+ of 1%.%.1000: " .. invariant, output)
    end)
  end
end)

describe("the server in one process", function()
  it("keeps its promises to real threads", function()
    local output, code = run("stress", "60 3")
    assert.equal(0, code, output)
    assert.matches("^stress: 60 rounds, %d+ reads of %d+ rows, %d+ reads of changes, 0 violations", output)
  end)
end)
