-- Wrong arguments of tables and workers: each is refused by name, with what was given, at the user's line.
local epact = require "epact"

--- What `f(w)` returns, run by one worker.
local function alone(f)
  return (epact.run({ workers = 1 }, f))
end

--- The message of the error `f(t, w, i)` raises in a worker, where `t` is a 3 x 4 f64 table and `i` one of i32; it
-- begins with the place of `f`, which must be one line.
local function refusal(f)
  local message = alone(function(w)
    local t = w:table("t", { rows = 3, cols = 4 })
    local i = w:table("i", { rows = 3, cols = 4, type = "i32" })
    local ok, message = pcall(f, t, w, i)
    return ok and "nothing was refused" or message
  end)
  local info = debug.getinfo(f, "S")
  local place = ("%s:%d: "):format(info.short_src, info.linedefined)
  assert.equal(place, message:sub(1, #place), message)
  return message:sub(#place + 1)
end

describe("a wrong argument of a table", function()
  local huge, nan = math.huge, 0 / 0

  it("id is refused, with its value", function()
    local integer = "t': row must be an integer >= 0, got "
    assert.equal("inc: table '" .. integer .. "0.5", refusal(function(t) t:inc(0.5, 0, 1) end))
    assert.equal("inc: table '" .. integer .. "nan", refusal(function(t) t:inc(nan, 0, 1) end))
    assert.equal("inc: table '" .. integer .. "inf", refusal(function(t) t:inc(huge, 0, 1) end))
    assert.equal("inc: table '" .. integer .. "nil", refusal(function(t) t:inc(nil, 0, 1) end))
    assert.equal("inc: table '" .. integer .. '"1"', refusal(function(t) t:inc("1", 0, 1) end))
    assert.equal("inc: table '" .. integer .. "a table", refusal(function(t) t:inc({}, 0, 1) end))
    assert.equal("get: table '" .. integer .. "1.5", refusal(function(t) t:get(1.5) end))
    assert.equal("get: table '" .. integer .. "nil", refusal(function(t) t:get() end))
    assert.equal("cell: table '" .. integer .. "true", refusal(function(t) t:cell(true, 0) end))
    assert.equal("fetch: table '" .. integer .. "0.5", refusal(function(t) t:fetch { 0, 0.5 } end))
    assert.equal("fetch: table '" .. integer .. '"a"', refusal(function(t) t:fetch { "a" } end))
    assert.equal("inc_row: table '" .. integer .. "0.1", refusal(function(t) t:inc_row(0.1, { 1, 2, 3, 4 }) end))
    assert.equal("inc: table 't': column must be an integer >= 0, got 2.5", refusal(function(t) t:inc(0, 2.5, 1) end))
    assert.equal("cell: table 't': column must be an integer >= 0, got nil", refusal(function(t) t:cell(0) end))
  end)

  it("id outside the table is refused, with the bounds", function()
    local outside = " is outside [0, 3) [E_RANGE]"
    assert.equal("inc: table 't': row -1" .. outside, refusal(function(t) t:inc(-1, 0, 1) end))
    assert.equal("inc: table 't': row 3" .. outside, refusal(function(t) t:inc(3, 0, 1) end))
    assert.equal("get: table 't': row -1" .. outside, refusal(function(t) t:get(-1) end))
    assert.equal("get: table 't': row 3" .. outside, refusal(function(t) t:get(3) end))
    assert.equal("fetch: table 't': row 99" .. outside, refusal(function(t) t:fetch { 0, 99 } end))
    assert.equal("inc_row: table 't': row 3" .. outside, refusal(function(t) t:inc_row(3, { 1, 2, 3, 4 }) end))
    assert.equal("inc: table 't': column 4 is outside [0, 4) [E_RANGE]", refusal(function(t) t:inc(0, 4, 1) end))
    assert.equal("inc: table 't': column -1 is outside [0, 4) [E_RANGE]", refusal(function(t) t:inc(0, -1, 1) end))
    assert.equal("cell: table 't': column 4 is outside [0, 4)", refusal(function(t) t:cell(0, 4) end))
    assert.matches("^inc: table 't': row %-?%d+ is outside", refusal(function(t) t:inc(1e300, 0, 1) end))
    assert.matches("^inc: table 't': row 18014398509481984 is", refusal(function(t) t:inc(2 ^ 54, 0, 1) end))
  end)

  it("increment is refused, with the cell", function()
    local place = "inc: table 't': the increment of row 1, column 2 is "
    assert.equal(place .. "nan [E_NONFINITE]", refusal(function(t) t:inc(1, 2, nan) end))
    assert.equal(place .. "inf [E_NONFINITE]", refusal(function(t) t:inc(1, 2, huge) end))
    assert.equal(place .. "-inf [E_NONFINITE]", refusal(function(t) t:inc(1, 2, -huge) end))
    assert.equal("inc: table 't': delta must be a number, got nil", refusal(function(t) t:inc(1, 2) end))
    assert.equal("inc_row: table 't': the increment of row 1, column 3 is nan [E_NONFINITE]",
      refusal(function(t) t:inc_row(1, { 1, 2, 3, nan }) end))
    assert.equal("inc_all: table 't': the increment of row 2, column 0 is inf [E_NONFINITE]",
      refusal(function(t) t:inc_all { 0, 0, 0, 0, 0, 0, 0, 0, huge, 0, 0, 0 } end))
    local integer = "inc: table 'i': the increment of row 1, column 2 is "
    assert.equal(integer .. "1.5, not a number of type i32 [E_RANGE]", refusal(function(_, _, i) i:inc(1, 2, 1.5) end))
    assert.equal(integer .. "2147483648, not a number of type i32 [E_RANGE]",
      refusal(function(_, _, i) i:inc(1, 2, 2 ^ 31) end))
    assert.equal(integer .. "nan [E_NONFINITE]", refusal(function(_, _, i) i:inc(1, 2, nan) end))
    assert.equal("inc_row: table 'i': value 1 is 0.5, not a number of type i32",
      refusal(function(_, _, i) i:inc_row(0, { 1, 0.5, 2, 3 }) end))
    local f32 = { rows = 1, cols = 1, type = "f32" }
    assert.equal("inc: table 'f': the increment of row 0, column 0 is 1e+39, too large for f32 [E_NONFINITE]",
      refusal(function(_, w) w:table("f", f32):inc(0, 0, 1e39) end))
  end)

  it("array is refused, with its type or its length", function()
    local wrong = "t': values must be an array of double, got "
    assert.equal("inc_row: table '" .. wrong .. "nil", refusal(function(t) t:inc_row(0) end))
    assert.equal("inc_row: table '" .. wrong .. '"abcd"', refusal(function(t) t:inc_row(0, "abcd") end))
    assert.equal("inc_row: table '" .. wrong .. "ctype<float [4]>",
      refusal(function(t) t:inc_row(0, require "ffi".new("float[4]")) end))
    assert.equal("inc_row: table '" .. wrong .. "ctype<double *[4]>",
      refusal(function(t) t:inc_row(0, require "ffi".new("double *[4]")) end))
    assert.equal("inc_row: table '" .. wrong .. "ctype<int64_t>", refusal(function(t) t:inc_row(0, 4LL) end))
    assert.equal("inc_row: table 'i': values must be an array of int32_t, got ctype<int64_t [4]>",
      refusal(function(_, _, i) i:inc_row(0, require "ffi".new("int64_t[4]")) end))
    assert.equal("inc_row: table 'i': values must be an array of int32_t, got ctype<unsigned int [4]>",
      refusal(function(_, _, i) i:inc_row(0, require "ffi".new("uint32_t[4]")) end))
    assert.equal("inc_row: table 't': values has 3 elements, expected 4",
      refusal(function(t) t:inc_row(0, require "ffi".new("double[3]")) end))
    assert.equal("inc_row: table 't': values has 2 elements, expected 4",
      refusal(function(t) t:inc_row(0, require "ffi".new("double[?]", 2)) end))
    assert.equal("inc_row: table 't': expected 4 values, got 2", refusal(function(t) t:inc_row(0, { 1, 2 }) end))
    assert.equal("inc_row: table 't': value 1 must be a number, got \"x\"",
      refusal(function(t) t:inc_row(0, { 1, "x", 3, 4 }) end))
    assert.equal("inc_all: table 't': expected 12 values, got 1", refusal(function(t) t:inc_all { 1 } end))
    assert.equal("fetch: rows must be a table, got 3", refusal(function(t) t:fetch(3) end))
  end)

  it("array of a batch is refused, with its type or its length", function()
    local ids, reals = "ffi.new('uint32_t[2]')", "ffi.new('double[2]')"
    local function batch(call)
      local message = alone(function(w)
        local t = w:table("t", { rows = 3, cols = 4 })
        local i = w:table("i", { rows = 3, cols = 4, type = "i32" })
        return select(2, pcall(assert(loadstring("local ffi, t, i = ... " .. call, "=user")), require "ffi", t, i))
      end)
      return message:match "^user:1: (.*)$"
    end
    assert.equal("inc_sparse: table 't': col must be an array of uint32_t, got nil",
      batch("t:inc_sparse(0, 2, nil, " .. reals .. ")"))
    assert.equal("inc_sparse: table 't': col must be an array of uint32_t, got ctype<int [2]>",
      batch("t:inc_sparse(0, 2, ffi.new('int32_t[2]'), " .. reals .. ")"))
    assert.equal("inc_sparse: table 't': value must be an array of double, got ctype<float [2]>",
      batch("t:inc_sparse(0, 2, " .. ids .. ", ffi.new('float[2]'))"))
    assert.equal("inc_sparse: table 't': value has 2 elements, expected 3",
      batch("t:inc_sparse(0, 3, ffi.new('uint32_t[3]'), " .. reals .. ")"))
    assert.equal("inc_sparse: table 't': n must be an integer >= 0, got -1",
      batch("t:inc_sparse(0, -1, " .. ids .. ", " .. reals .. ")"))
    assert.equal("inc_sparse: table 't': scale must be a number, got \"2\"",
      batch("t:inc_sparse(0, 2, " .. ids .. ", " .. reals .. ", '2')"))
    assert.equal("inc_sparse: table 'i' is i32: inc_sparse needs f32 or f64",
      batch("i:inc_sparse(0, 2, " .. ids .. ", " .. reals .. ")"))
    assert.equal("inc_many: table 't': n must be an integer >= 0, got nil", batch "t:inc_many()")
    assert.equal("inc_many: table 't': delta must be an array of double, got a table",
      batch("t:inc_many(2, " .. ids .. ", " .. ids .. ", {1, 2})"))
    assert.equal("inc_many: table 'i': delta must be an array of int32_t, got ctype<double [2]>",
      batch("i:inc_many(2, " .. ids .. ", " .. ids .. ", " .. reals .. ")"))
    assert.equal("inc_many: table 't': row has 2 elements, expected 5",
      batch("t:inc_many(5, " .. ids .. ", " .. ids .. ", " .. reals .. ")"))
    assert.equal("inc_many: table 't': row 9 is outside [0, 3) [E_RANGE]",
      batch("t:inc_many(2, ffi.new('uint32_t[2]', {0, 9}), " .. ids .. ", " .. reals .. ")"))
  end)

  it("that is refused leaves the table as it was", function()
    local sums = alone(function(w)
      local cffi = require "ffi"
      local t = w:table("t", { rows = 3, cols = 4 })
      local row = cffi.new("uint32_t[3]", { 0, 1, 9 })
      pcall(t.inc_many, t, 3, row, cffi.new("uint32_t[3]"), cffi.new("double[3]", { 1, 1, 1 }))
      pcall(t.inc_row, t, 0, { 1, 1, 1, 0 / 0 })
      pcall(t.inc_all, t, { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 / 0 })
      pcall(t.inc_sparse, t, 0, 2, cffi.new("uint32_t[2]", { 0, 7 }), cffi.new("double[2]", { 1, 1 }))
      w:clock()
      local sum, all = 0, t:all()
      for k = 0, 11 do sum = sum + math.abs(all[k]) end
      return sum
    end)
    assert.equal(0, sums)
  end)

  it("shape of a table there is refused, with both shapes", function()
    local shapes = {
      { { rows = 4, cols = 4 }, "4 x 4 f64 dense" }, { { cols = 4 }, "any x 4 f64 dense" },
      { { rows = 3, cols = 5 }, "3 x 5 f64 dense" }, { { rows = 3, cols = 4, type = "f32" }, "3 x 4 f32 dense" },
      { { rows = 3, cols = 4, sparse = true }, "3 x 4 f64 sparse" },
      { { rows = 3, cols = 4, sparse_updates = true }, "3 x 4 f64 dense with sparse updates" },
    }
    for _, shape in ipairs(shapes) do
      local options, text = shape[1], shape[2]
      local why = refusal(function(_, w) w:table("t", options) end)
      assert.equal("table: table 't' is 3 x 4 f64 dense, not " .. text .. " [E_SCHEMA]", why)
    end
  end)

  it("of its options is refused", function()
    local function options(o) return refusal(function(_, w) w:table("x", o) end) end
    assert.equal("table 'x': option 'cols' is required (an integer >= 1)", options(nil))
    assert.equal("table 'x': the options must be a table, got 3", options(3))
    assert.equal("table 'x': unknown option 'col' (did you mean 'cols'?)", options { col = 3 })
    assert.equal("table 'x': option 'rows' must be an integer >= 1, got 0", options { cols = 3, rows = 0 })
    assert.equal("table 'x': option 'rows' must be an integer >= 1, got 2.5", options { cols = 3, rows = 2.5 })
    assert.equal("table 'x': option 'type' must be one of f32, f64, i32, i64, got \"f16\"",
      options { cols = 3, type = "f16" })
    assert.equal("table 'x': option 'staleness' must be an integer >= 0 or math.huge, got -1",
      options { cols = 3, staleness = -1 })
    assert.equal("table: table 'x': cols must be 1 .. 2^31-1, got 1099511627776", options { cols = 2 ^ 40 })
    assert.equal("table: table 'x': rows x cols exceeds 2^63 cells [E_LIMIT]",
      options { rows = 2 ^ 50, cols = 2 ^ 20, sparse = true })
    assert.equal("table: table 'x': changes needs sparse updates", options { cols = 3, changes = true })
    assert.equal("table: name must be a string, got nil", refusal(function(_, w) w:table() end))
    assert.equal("table: a table's name must have 1 to 255 bytes",
      refusal(function(_, w) w:table("", { cols = 1 }) end))
  end)

  it("of a table that cannot is refused by what it lacks", function()
    assert.equal("changes: table 't' was not made with changes = true", refusal(function(t) t:changes() end))
    assert.equal("fetch: table 'a' has no declared number of rows",
      refusal(function(_, w) w:table("a", { cols = 1 }):fetch() end))
    assert.equal("inc_all: table 'a' has no declared number of rows",
      refusal(function(_, w) w:table("a", { cols = 1 }):inc_all { 1 } end))
    assert.equal("all: table 's' is not kept in one piece",
      refusal(function(_, w) w:table("s", { rows = 1, cols = 1, sparse = true }):all() end))
    assert.equal("inc_all: table 's': inc_all needs a declared number of rows and dense updates",
      refusal(function(_, w) w:table("s", { rows = 1, cols = 1, sparse = true }):inc_all { 1 } end))
  end)
end)

describe("a worker", function()
  it("refuses wrong arguments", function()
    assert.equal("shared: name must be a string, got nil", refusal(function(_, w) w:shared() end))
    assert.equal("shared: count must be an integer >= 1, got 0", refusal(function(_, w) w:shared("x", 0) end))
    assert.equal("shared: type must be one of f32, f64, i32, i64, got \"f16\"",
      refusal(function(_, w) w:shared("x", 1, "f16") end))
    assert.equal("shared: shared 'x' has 24 bytes, not 32 [E_SCHEMA]",
      refusal(function(_, w) w:shared("x", 3); w:shared("x", 4) end))
    assert.matches("^shared: out of memory.*%[E_NOMEM%]$", refusal(function(_, w) w:shared("x", 2 ^ 50) end))
    assert.equal("rng: stream must be an integer >= 0, got \"x\"", refusal(function(_, w) w:rng("x") end))
    assert.equal("clock: the worker has finished", refusal(function(_, w) w:finish(); w:clock() end))
  end)
end)
