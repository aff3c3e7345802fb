-- What travels between Lua states: functions with their upvalues to the workers, results back.
local ffi = require "ffi"
local epact = require "epact"
local jobs = require "support.jobs"
local ship = require "epact.ship"

local function copy(value) return ship.decode(ship.encode(value, "value")) end

--- What one worker makes of `f`.
local function alone(f) return (epact.run({ workers = 1 }, f)) end

local function refusal(f)
  local ok, message = pcall(epact.run, { workers = 1 }, f)
  assert.is_false(ok)
  return (message:gsub("\n.*", ""))
end

function _G.spec_global_function(w) return w.id + 17 end
_G.spec_global_table = { a = 5 }

describe("a value", function()
  it("arrives as it was: scalars, nested tables, holes, keys of all plain types", function()
    for _, value in ipairs { 1, -0.5, 2 ^ 53, math.huge, "", "a\0b\255", true, false } do
      assert.equal(value, copy(value))
    end
    assert.is_nil(copy(nil))
    assert.is_true(copy(0 / 0) ~= copy(0 / 0))
    local nested = { 1, nil, 3, x = { y = { z = { "deep" } } }, [true] = 1, [2.5] = 2, [-1] = 3, [""] = {} }
    assert.same(nested, copy(nested))
  end)

  it("of 64 bits keeps them, const or not", function()
    assert.is_true(copy(9007199254740993LL) == 9007199254740993LL)
    assert.is_true(copy(18446744073709551615ULL) == 18446744073709551615ULL)
    local cell = alone(function(w)
      local t = w:table("t", { rows = 1, cols = 1, type = "i64" })
      t:inc_row(0, require "ffi".new("int64_t[1]", 2LL ^ 62 + 1))
      return t:get(0)[0]
    end)
    assert.is_true(cell == 2LL ^ 62 + 1)
  end)

  it("that contains itself does so on the other side", function()
    local a = { name = "a" }
    a.self, a.list, a[a] = a, { a, { a } }, "key"
    local b = copy(a)
    assert.is_true(b.self == b and b.list[1] == b and b.list[2][1] == b and b[b] == "key")
    local shared = {}
    local pair = copy { shared, shared }
    assert.is_true(pair[1] == pair[2])
  end)

  it("may be nested deep", function()
    local list = {}
    for _ = 1, 2000 do list = { next = list } end
    local there, depth = copy(list), 0
    while there.next do there, depth = there.next, depth + 1 end
    assert.equal(2000, depth)
  end)

  it("of many small tables is quick", function()
    local rows, C = {}, require "epact.core".C
    for i = 1, 20000 do rows[i] = { i, i * 0.5 } end
    local begin = C.epact_thread_cpu()
    assert.same(rows[777], copy(rows)[777])
    if jobs.timed then assert.is_true(C.epact_thread_cpu() - begin < 1) end
  end)
end)

describe("a function", function()
  it("takes plain upvalues along, and leaves the caller's alone", function()
    local number, text, list, nothing = 3, "x", { 1, { 2 } }, nil
    local function work()
      number = number + 1
      list[1] = 100
      return number, text, list[1], list[2][1], nothing
    end
    local _, report = epact.run({ workers = 2 }, work)
    for i = 0, 1 do assert.same({ 4, "x", 100, 2 }, report.results[i]) end
    assert.equal(3, number)
    assert.same({ 1, { 2 } }, list)
  end)

  it("calls itself, its friends, and shares upvalues with them", function()
    local count = 0
    local function bump() count = count + 1 end
    local function factorial(n)
      bump()
      return n < 2 and 1 or n * factorial(n - 1)
    end
    local even, odd
    function even(n) return n == 0 or odd(n - 1) end
    function odd(n) return n ~= 0 and even(n - 1) end
    assert.same({ 120, 5, true, false }, alone(function()
      local value = factorial(5)
      return { value, count, even(10), odd(4) }
    end))
    assert.equal(0, count)
  end)

  it("finds modules, their members and what Lua has built in by name", function()
    local floor, insert, print_it, C, new = math.floor, table.insert, print, require "epact.core".C, ffi.new
    local nearest, libc, out = require "epact.options".nearest, ffi.C, io.stdout
    local seen = alone(function()
      local list = {}
      insert(list, floor(2.7))
      insert(list, nearest("workes", { workers = true }))
      insert(list, print_it == print and C == require "epact.core".C and libc == require "ffi".C and out == io.stdout)
      insert(list, new("int[3]")[2] + #epact._VERSION)
      return list
    end)
    assert.same({ 2, "workers", true, 5 }, seen)
  end)

  it("may be global, as at the REPL, and so may be a table it uses", function()
    assert.equal(17, alone(_G.spec_global_function))
    local held = _G.spec_global_table
    assert.equal(5, alone(function() return held.a end))
  end)

  it("comes back as a result", function()
    local offset = 10
    local adder = alone(function()
      local calls = 0
      return function(x) calls = calls + 1; return x + offset + calls end
    end)
    assert.same({ 12, 14 }, { adder(1), adder(2) })
  end)

  it("says in an error where it was written", function()
    assert.matches("worker 0: spec/ship_spec%.lua:%d+: here$", refusal(function() error "here" end))
  end)
end)

describe("a data set", function()
  local function ratings()
    local set = epact.data.new("ratings", 4, 3, 10)
    for i = 0, 9 do set.value[i] = i * 0.5 end
    return set
  end

  it("is shared, not copied", function()
    local X = epact.data.new("dense", 3, 2)
    local address = alone(function()
      X.value[5] = 42
      return tonumber(require "ffi".cast("intptr_t", X.value))
    end)
    assert.equal(42, X.value[5])
    assert.equal(address, tonumber(ffi.cast("intptr_t", X.value)))
  end)

  it("comes back as a result, and outlives the worker that made it", function()
    local sets = alone(function()
      local inner = require "epact"
      local all, list = inner.data.new("ratings", 4, 3, 1000), {}
      for i = 0, 999 do all.value[i] = i end
      for i = 1, 10 do list[i] = all:slice(i * 10, i * 10 + 5) end
      return list
    end)
    collectgarbage()
    for i = 1, 10 do assert.equal(i * 10 + 4, sets[i].value[4]) end
  end)

  it("may be dropped by its maker while workers use it", function()
    local pool = epact.start { workers = 2 }
    do
      local set = ratings()
      pool:each(function() _G.kept = set end)
    end
    collectgarbage()
    collectgarbage()
    assert.equal(4.5, (pool:each(function() return _G.kept.value[9] end)))
    pool:close()
  end)

  it("that was closed is refused", function()
    local set = ratings()
    set:close()
    assert.matches("upvalue 'set' of function at spec/ship_spec%.lua:%d+ is a data set that was closed",
      refusal(function() return tostring(set) end))
  end)
end)

describe("what cannot travel", function()
  local at = "is a%s: it cannot be shipped to a worker; make it inside the worker function"

  local function refused(name, what, f)
    local info = debug.getinfo(f, "S")
    local message = refusal(f)
    local expected = ("upvalue '%s' of function at %s:%d "):format(name, info.short_src, info.linedefined)
      .. at:format(what)
    assert.matches("^spec/ship_spec%.lua:%d+: ", message)
    assert.equal(expected, message:gsub("^[^:]*:%d+: ", ""))
  end

  it("is named by its upvalue", function()
    local co, file = coroutine.create(print), assert(io.open "/dev/null")
    local proxy, pointer, ctype = newproxy(), ffi.new "int[2]", ffi.typeof "int[4]"
    refused("co", " coroutine", function() return co end)
    refused("file", " userdata", function() return file end)
    refused("proxy", " userdata", function() return proxy end)
    refused("pointer", " cdata (ctype<int [2]>)", function() return pointer end)
    refused("ctype", " cdata (ctype<int [4]>)", function() return ctype end)
    file:close()
  end)

  it("is named by its place in a table or in an inner function", function()
    local config = { paths = { "a", log = coroutine.create(print) }, [3] = 1 }
    local function inner() return config.paths.log end
    refused("config.paths.log", " coroutine", inner)
    assert.matches("upvalue 'config%.paths%.log' of function at spec/ship_spec%.lua:%d+ is a coroutine",
      refusal(function() return inner() end))
    local keyed = { [coroutine.create(print)] = 1 }
    assert.matches("upvalue 'keyed %(a key%)' of", refusal(function() return keyed end))
    local step = ("x"):gmatch "."
    assert.matches("upvalue 'step' of .* is a C function of no loaded module: it cannot be shipped",
      refusal(function() return step() end))
  end)

  it("is an object, shown as it shows itself", function()
    local object = setmetatable({}, { __tostring = function() return "an apple" end })
    assert.matches("upvalue 'object' of .* is an object with a metatable %(an apple%): make it inside the worker "
      .. "function, or pass plain data", refusal(function() return object end))
  end)

  it("is named among the results", function()
    assert.equal("worker 0: result[1].x is a coroutine: it cannot be shipped to a worker; make it inside the worker "
      .. "function", refusal(function() return { x = coroutine.create(print) } end):gsub("^[^:]*:%d+: ", ""))
    assert.matches("worker 0: result%[2%] is an object with a metatable %(epact%.table 't'",
      refusal(function(w) return 1, w:table("t", { cols = 1 }) end))
  end)
end)
