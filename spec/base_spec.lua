-- Floor 1 as Lua sees it: random streams, CRC32C, shared blocks, errors and options.
local ffi = require "ffi"
local bit = require "bit"
local core = require "epact.core"
local options = require "epact.options"
local rng = require "epact.rng"
local C = core.C

local function hex(number)
  return bit.tohex(number, 16)
end

--- The message of the error that `f(...)` raises.
local function message_of(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

describe("a random stream", function()
  local function numbers(stream, n)
    local list = {}
    for i = 1, n do list[i] = hex(C.epact_rng_next(stream)) end
    return list
  end

  it("is SplitMix64: the published numbers of seeds 0 and 1", function()
    assert.same({ "e220a8397b1dcdaf", "6e789e6aa1b965f4" }, numbers(rng(0), 2))
    assert.same({ "910a2dec89025cc1" }, numbers(rng(1), 1))
  end)

  it("draws the uniforms and the normal of seed 1", function()
    local stream = rng(1)
    assert.near(0.56656158, stream:uniform(), 5e-9)
    assert.near(0.74578176, stream:uniform(), 5e-9)
    assert.near(0.97100275, stream:uniform(), 5e-9)
    assert.near(-0.03426732, rng(1):normal(), 5e-9)
  end)

  it("shuffles alike in Lua and in C", function()
    assert.same({ 7, 4, 6, 1, 2, 5, 0, 3 }, rng(7):shuffle { 0, 1, 2, 3, 4, 5, 6, 7 })
    local item = ffi.new("uint32_t[8]", { 0, 1, 2, 3, 4, 5, 6, 7 })
    C.epact_rng_shuffle(rng(7), item, 8)
    local list = {}
    for i = 0, 7 do list[i + 1] = item[i] end
    assert.same({ 7, 4, 6, 1, 2, 5, 0, 3 }, list)
  end)

  it("jumps as if it had been drawn from", function()
    local drawn, jumped = rng(3, 5), rng(3, 5):jump(1000)
    for _ = 1, 1000 do C.epact_rng_next(drawn) end
    assert.equal(hex(C.epact_rng_next(drawn)), hex(C.epact_rng_next(jumped)))
  end)

  it("differs by seed, stream and substream, and repeats for the same three", function()
    local seen = {}
    for seed = 0, 9 do
      for stream = 0, 9 do
        for substream = 0, 9 do
          local first = numbers(rng(seed, stream, substream), 1)[1]
          assert.is_nil(seen[first])
          seen[first] = true
          assert.equal(first, numbers(rng(seed, stream, substream), 1)[1])
        end
      end
    end
    assert.equal(hex(C.epact_rng_next(rng(5))), hex(C.epact_rng_next(rng(5, 0, 0))))
  end)

  it("keeps its numbers from one version to the next", function()
    assert.same({ "42c663edff53a17f" }, numbers(rng(1, 2, 3), 1))
  end)

  it("draws whole numbers below a bound, all equally often", function()
    local stream, bound, draws = rng(11), 7, 70000
    local count = {}
    for value = 0, bound - 1 do count[value] = 0 end
    for _ = 1, draws do
      local value = stream:below(bound)
      count[value] = count[value] + 1
    end
    local chi_square = 0
    for value = 0, bound - 1 do chi_square = chi_square + (count[value] - draws / bound) ^ 2 / (draws / bound) end
    assert.is_true(chi_square < 22.46) -- the 0.999 quantile with 6 degrees of freedom
    assert.equal(0, stream:below(1))
    for _, bound_refused in ipairs { 0, -3, 1.5 } do
      assert.matches("rng:below: bound must be an integer >= 1", message_of(function() stream:below(bound_refused) end))
    end
  end)

  it("draws normals with the moments of the standard normal", function()
    local stream, draws = rng(13), 100000
    local sum, squares, fourths = 0, 0, 0
    for _ = 1, draws do
      local z = stream:normal()
      sum, squares, fourths = sum + z, squares + z * z, fourths + z ^ 4
    end
    -- Four standard errors of each: sqrt(1/n), sqrt(2/n), sqrt(96/n).
    assert.near(0, sum / draws, 4 * math.sqrt(1 / draws))
    assert.near(1, squares / draws, 4 * math.sqrt(2 / draws))
    assert.near(3, fourths / draws, 4 * math.sqrt(96 / draws))
  end)

  it("prints its state, and refuses a seed that is not an integer", function()
    assert.equal("epact.rng <counter 0x000000000000002a>", tostring(rng(42)))
    assert.matches("epact.rng: seed must be an integer, got 1.5", message_of(function() rng(1.5) end), 1, true)
    assert.matches('epact.rng: seed must be an integer, got "x"', message_of(function() rng "x" end), 1, true)
  end)
end)

describe("CRC32C", function()
  local function crc(text, from)
    return tonumber(C.epact_crc32c(from or 0, text, #text))
  end

  --- Bit by bit: slow and plain.
  local function reference(text)
    local register = bit.bnot(0)
    for i = 1, #text do
      register = bit.bxor(register, text:byte(i))
      for _ = 1, 8 do
        local low = bit.band(register, 1)
        register = bit.rshift(register, 1)
        if low == 1 then register = bit.bxor(register, 0x82f63b78) end
      end
    end
    return bit.bnot(register) % 2 ^ 32
  end

  it("gives the check value, and those of RFC 3720", function()
    assert.equal(0xE3069283, crc "123456789")
    assert.equal(0, crc "")
    assert.equal(0x8A9136AA, crc(("\0"):rep(32)))
    assert.equal(0x62A8AB43, crc(("\255"):rep(32)))
  end)

  it("agrees with the bitwise definition at every length", function()
    local stream = rng(17)
    local text = ""
    for _ = 0, 100 do
      assert.equal(reference(text), crc(text))
      text = text .. string.char(stream:below(256))
    end
  end)

  it("goes on where another call stopped", function()
    local text = "bounded staleness"
    for cut = 0, #text do assert.equal(crc(text), crc(text:sub(cut + 1), crc(text:sub(1, cut)))) end
  end)
end)

describe("a shared block", function()
  it("is zeroed, aligned to 64 bytes, and lives as long as its last owner", function()
    local block = core.own(C.epact_block_new(1000))
    assert.equal(0, core.address(block) % 64)
    local bytes = ffi.cast("uint8_t *", block)
    for i = 0, 999 do assert.equal(0, bytes[i]) end
    local other = core.adopt("uint8_t *", core.address(block))
    bytes[999] = 7
    core.close(block)
    assert.equal(7, other[999])
    core.close(other)
  end)

  it("is zeroed where one lay before, too", function()
    for _ = 1, 10 do
      local block = core.own(C.epact_block_new(50000))
      assert.is_true(ffi.string(block, 50000) == ("\0"):rep(50000))
      ffi.fill(block, 50000, 255)
      core.close(block)
    end
  end)

  it("of no size exists, and one too large is an error with a code", function()
    core.close(core.own(C.epact_block_new(0)))
    for _, bytes in ipairs { 2 ^ 62, 2 ^ 64 - 2 ^ 11 } do
      local message = message_of(function() core.own(C.epact_block_new(bytes), nil, "epact.block") end)
      assert.matches("base_spec.lua:%d+: epact.block: out of memory: an object needs %d+ bytes %[E_NOMEM%]$", message)
      assert.equal("E_NOMEM", core.error_code(message))
    end
  end)

  it("that is NULL may be retained and released", function()
    C.epact_retain(nil)
    C.epact_release(nil)
  end)
end)

describe("an error", function()
  it("has a name for each code", function()
    assert.equal("OK", ffi.string(C.epact_error_name(C.EPACT_OK)))
    assert.equal("E_MISUSE", ffi.string(C.epact_error_name(C.EPACT_E_MISUSE)))
    assert.equal("E_SYSTEM", ffi.string(C.epact_error_name(C.EPACT_E_SYSTEM)))
    for _, code in ipairs { 1, -1000, -2 ^ 31, 2 ^ 31 - 1 } do
      assert.equal("E_UNKNOWN", ffi.string(C.epact_error_name(code)))
    end
    local seen = {}
    for code = 0, C.EPACT_E_SNAPSHOT, -1 do
      local name = ffi.string(C.epact_error_name(code))
      assert.is_nil(seen[name])
      seen[name] = true
    end
    for name in pairs(seen) do
      if name ~= "OK" then assert.equal("number", type(C["EPACT_" .. name])) end
    end
  end)

  it("code is read from the end of a message", function()
    assert.equal("E_PARSE", core.error_code "a.lua:3: a.svm:7: not a number [E_PARSE]")
    assert.is_nil(core.error_code "a.lua:3: staleness must be an integer >= 0")
    assert.is_nil(core.error_code(nil))
    assert.is_nil(core.error_code {})
  end)

  it("is raised at the line of the caller outside the package", function()
    local here = debug.getinfo(1, "l").currentline
    local message = message_of(function() core.fail("%s is %d", "n", 3) end)
    assert.matches(("spec/base_spec.lua:%d: n is 3"):format(here + 1), message, 1, true)
    message = message_of(function() rng("seed") end)
    assert.matches(("spec/base_spec.lua:%d: epact.rng"):format(here + 3), message, 1, true)
  end)

  it("of misuse has no code, one of the world has", function()
    pcall(core.own, C.epact_block_new(2 ^ 62)) -- leaves a sentence
    assert.matches("f: out of memory: .* bytes$", message_of(core.check, C.EPACT_E_MISUSE, "f"))
    assert.matches("f: out of memory: .* bytes %[E_IO%]$", message_of(core.check, C.EPACT_E_IO, "f"))
  end)

  it("message may hold percent signs", function()
    assert.matches("100% wrong", message_of(function() core.fail "100% wrong" end), 1, true)
  end)

  it("is none when the code is not negative", function()
    assert.equal(0, core.check(C.EPACT_OK))
    assert.equal(5, core.check(5))
  end)
end)

describe("an options table", function()
  local known = {
    workers = { "count", 1 },
    staleness = { "staleness", 0 },
    consistency = { { "ssp", "bsp" }, "ssp" },
    path = { "string", required = true },
  }

  local function read(given)
    return options.read("epact.run", given, known)
  end

  it("gets its defaults and keeps what was given", function()
    assert.same({ workers = 4, staleness = 0, consistency = "ssp", path = "x" }, read { workers = 4, path = "x" })
    assert.equal(math.huge, read { path = "x", staleness = math.huge }.staleness)
  end)

  it("is not changed", function()
    local given = { path = "x" }
    read(given)
    assert.same({ path = "x" }, given)
  end)

  it("with an unknown name is refused with the nearest one", function()
    assert.matches("epact.run: unknown option 'stalenes' (did you mean 'staleness'?)",
      message_of(read, { stalenes = 1 }), 1, true)
    assert.matches("(did you mean 'workers'?)", message_of(read, { wrokers = 1 }), 1, true)
    assert.not_matches("did you mean", message_of(read, { temperature = 1 }), 1, true)
    assert.matches("unknown option 1", message_of(read, { "x" }), 1, true)
  end)

  it("with a value of another kind is refused with the kind and the value", function()
    for value, shown in pairs { [0] = "0", [1.5] = "1.5", x = '"x"' } do
      assert.matches("epact.run: option 'workers' must be an integer >= 1, got " .. shown,
        message_of(read, { path = "p", workers = value }), 1, true)
    end
    assert.matches("option 'consistency' must be one of ssp, bsp, got \"async\"",
      message_of(read, { path = "p", consistency = "async" }), 1, true)
    assert.matches("option 'staleness' must be an integer >= 0 or math.huge, got -1",
      message_of(read, { path = "p", staleness = -1 }), 1, true)
    assert.matches("option 'path' is required (a string)", message_of(read, {}), 1, true)
    assert.matches("the options must be a table, got 3", message_of(read, 3), 1, true)
  end)

  it("knows each kind's bounds", function()
    local nan = 0 / 0
    local accepted = {
      number = { -1.5, math.huge }, positive = { 1e-300 }, non_negative = { 0, 2.5 }, fraction = { 0, 1, 0.5 },
      integer = { -3, 0, 2 ^ 53 }, count = { 1, 2 ^ 40 }, index = { 0, 7 }, staleness = { 0, 3, math.huge },
      ["function"] = { print }, string = { "" }, boolean = { false }, table = { {} }, any = { "x", 1, print },
    }
    local refused = {
      number = { nan, "1" }, positive = { 0, -1, nan, math.huge }, non_negative = { -1e-300, nan },
      fraction = { -0.1, 1.1, nan }, integer = { 0.5, nan, math.huge, 2 ^ 53 + 2, "1" },
      count = { 0, 1.5 }, index = { -1, 0.5 },
      staleness = { -1, 0.5, -math.huge, nan }, ["function"] = { "print" }, string = { 1 }, boolean = { 0 },
      table = { "x" },
    }
    for kind, values in pairs(accepted) do
      for _, value in ipairs(values) do assert.equal(value, options.argument("f", "x", kind, value)) end
    end
    for kind, values in pairs(refused) do
      for _, value in ipairs(values) do
        assert.matches("^.*base_spec.lua:%d+: f: x must be ",
          message_of(function() options.argument("f", "x", kind, value) end))
      end
    end
  end)

  it("finds the nearest name, the first in the alphabet of two as near, and none when none is near", function()
    local names = { rows = true, cols = true, bows = true }
    assert.equal("rows", options.nearest("row", { rows = true, columns = true }))
    assert.equal("bows", options.nearest("xows", names))
    assert.is_nil(options.nearest("temperature", names))
  end)
end)
