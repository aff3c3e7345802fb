--- Data sets as Lua sees them: views of the library's arrays, with methods that compile.
--
-- A view is a small struct on this state's heap. It holds one reference to the object that owns the arrays, which other
-- views of this or another Lua state may share; nothing is copied. `close()` makes a view empty, so that a later
-- call of a method is an error and not a crash. Bare pointers (`X.value`, or what `X:row(i)` returns) are as unsafe as
-- in C: they do not keep the arrays alive, and are NULL in a view that was closed.
-- @module epact.data.object

local ffi = require "ffi"
local core = require "epact.core"
local C = core.C

local object = {}

--- kind -> what a view of it is made of
local kinds = {}

local function fail_range(self, method, what, i, size)
  local kind = object.kind(self)
  if self.owner == nil then core.fail("%s:%s: this data set was closed", kind, method) end
  core.fail("%s:%s: %s %s is outside 0 .. %d", kind, method, what, tostring(i), size - 1)
end

--- A view of everything that `owner` (a pointer from a reader or constructor) has; takes over the caller's reference.
local function wrap(kind, owner)
  local view = kinds[kind].new()
  ffi.copy(view, owner, ffi.sizeof(view))
  view.owner = owner
  return view
end

local function closed(self)
  return self.owner == nil
end

--- Gives the arrays up now instead of at collection. Closing twice is allowed.
local function close(self)
  local owner = self.owner
  if owner == nil then return end
  ffi.fill(self, ffi.sizeof(self))
  C.epact_release(owner)
end

--- Rows (documents, ratings, edges) `first` to `last - 1` as a view of its own, without a copy.
local function slice(self, first, last)
  local kind = object.kind(self)
  local size = kinds[kind].size(self)
  if closed(self) then core.fail("%s:slice: this data set was closed", kind) end
  last = last or size
  if type(first) ~= "number" or type(last) ~= "number" or first % 1 ~= 0 or last % 1 ~= 0
    or first < 0 or last < first or last > size then
    core.fail("%s:slice: %s .. %s is no range in 0 .. %d", kind, tostring(first), tostring(last), size)
  end
  local view = kinds[kind].new(self)
  C.epact_retain(view.owner)
  kinds[kind].narrow(view, first, last)
  return view
end

local function define(kind, definition)
  local methods = definition.methods
  methods.close, methods.slice = close, slice
  definition.new = ffi.metatype("epact_" .. kind, {
    __index = definition.index,
    __newindex = definition.newindex,
    __len = definition.size,
    __gc = function(self) C.epact_release(self.owner) end,
    __tostring = function(self)
      return ("epact.%s <%s>"):format(kind, closed(self) and "closed" or definition.describe(self))
    end,
  })
  kinds[kind] = definition
end

local function new_transpose(self, kind, transpose, first, last)
  if closed(self) then core.fail("%s:transpose: this data set was closed", kind) end
  first, last = first or 0, last or self.cols
  if type(first) ~= "number" or type(last) ~= "number" or first % 1 ~= 0 or last % 1 ~= 0 then
    core.fail("%s:transpose: %s .. %s is no range of columns", kind, tostring(first), tostring(last))
  end
  local out = ffi.new("epact_" .. kind .. " *[1]")
  core.check(transpose(self, first, last, out), kind .. ":transpose")
  return wrap(kind, out[0])
end

local sparse = {}

--- Columns, values and number of the non-zeros of row `i`.
-- @treturn cdata `const uint32_t *`
-- @treturn cdata `double *`
-- @treturn number
function sparse:row(i)
  if not (i >= 0 and i < self.rows) then fail_range(self, "row", "row", i, self.rows) end
  local first = tonumber(self.start[i])
  return self.index + first, self.value + first, tonumber(self.start[i + 1]) - first
end

--- Row `i` times `w`: anything that is indexed by column from 0, as a view, an FFI array or a Lua table.
function sparse:dot(i, w)
  if not (i >= 0 and i < self.rows) then fail_range(self, "dot", "row", i, self.rows) end
  local index, value = self.index, self.value
  local first, last = tonumber(self.start[i]), tonumber(self.start[i + 1]) - 1
  local even, odd = 0, 0 -- two sums: one addition need not wait for the other
  for k = first, last - 1, 2 do
    even = even + value[k] * w[index[k]]
    odd = odd + value[k + 1] * w[index[k + 1]]
  end
  if (last - first) % 2 == 0 then even = even + value[last] * w[index[last]] end
  return even + odd
end

--- `table[row] += scale * (row i)`, for a table of the parameter server.
function sparse:inc(table, row, i, scale)
  local index, value, n = self:row(i)
  table:inc_sparse(row, n, index, value, scale)
end

--- The transpose, as a data set of its own; its rows are the columns `first` to `last - 1` (by default all).
function sparse:transpose(first, last)
  return new_transpose(self, "sparse", C.epact_sparse_transpose, first, last)
end

--- How many entries each column has: an `int64_t` array.
-- @tparam[opt] string where how an error begins
-- @tparam[opt=1] number step only every `step`-th row is looked at
function sparse:column_entries(where, step)
  if closed(self) then core.fail "sparse:column_entries: this data set was closed" end
  local entries = core.own(C.epact_block_new(math.max(1, self.cols) * 8), nil, "sparse:column_entries")
  entries = ffi.gc(ffi.cast("int64_t *", ffi.gc(entries, nil)), C.epact_release)
  core.check(C.epact_sparse_column_entries(self, step or 1, entries), where or "sparse:column_entries")
  return entries
end

define("sparse", {
  methods = sparse,
  index = function(self, key)
    if key == "rows" then return tonumber(self.rows_) end
    if key == "cols" then return tonumber(self.cols_) end
    if key == "count" then return tonumber(self.count_) end
    return sparse[key]
  end,
  size = function(self) return self.rows end,
  narrow = function(self, first, last)
    self.start, self.rows_ = self.start + first, last - first
    self.count_ = self.start[last - first] - self.start[0]
  end,
  describe = function(self) return ("%d x %d, %d non-zeros"):format(self.rows, self.cols, self.count) end,
})

local dense = {}

--- The values of row `i` and their number.
-- @treturn cdata `double *`
-- @treturn number
function dense:row(i)
  if not (i >= 0 and i < self.rows) then fail_range(self, "row", "row", i, self.rows) end
  local cols = self.cols
  return self.value + i * cols, cols
end

--- Row `i` times `w`, which is indexed by column from 0.
function dense:dot(i, w)
  if not (i >= 0 and i < self.rows) then fail_range(self, "dot", "row", i, self.rows) end
  local cols = self.cols
  local value = self.value + i * cols
  local sum = 0
  for j = 0, cols - 1 do sum = sum + value[j] * w[j] end
  return sum
end

--- The transpose, as a data set of its own.
function dense:transpose(first, last)
  return new_transpose(self, "dense", C.epact_dense_transpose, first, last)
end

define("dense", {
  methods = dense,
  -- y[i]: element i in row-major order, which for a single column is row i.
  index = function(self, key)
    if type(key) == "number" then
      if not (key >= 0 and key < self.rows * self.cols) then
        fail_range(self, "[]", "element", key, self.rows * self.cols)
      end
      return self.value[key]
    end
    if key == "rows" then return tonumber(self.rows_) end
    if key == "cols" then return tonumber(self.cols_) end
    return dense[key]
  end,
  newindex = function(self, key, value)
    if type(key) ~= "number" then core.fail("dense: '%s' cannot be set", tostring(key)) end
    if not (key >= 0 and key < self.rows * self.cols) then
      fail_range(self, "[]", "element", key, self.rows * self.cols)
    end
    self.value[key] = value
  end,
  size = function(self) return self.rows end,
  narrow = function(self, first, last)
    self.value, self.rows_ = self.value + first * self.cols, last - first
  end,
  describe = function(self) return ("%d x %d"):format(self.rows, self.cols) end,
})

local corpus = {}

--- Words, counts and number of the pairs of document `i`.
-- @treturn cdata `const uint32_t *` words
-- @treturn cdata `const uint32_t *` counts
-- @treturn number
function corpus:document(i)
  if not (i >= 0 and i < self.documents) then fail_range(self, "document", "document", i, self.documents) end
  local first = tonumber(self.start[i])
  return self.word + first, self.count + first, tonumber(self.start[i + 1]) - first
end

define("corpus", {
  methods = corpus,
  index = function(self, key)
    if key == "documents" then return tonumber(self.documents_) end
    if key == "words" then return tonumber(self.words_) end
    if key == "pairs" then return tonumber(self.pairs_) end
    if key == "tokens" then return tonumber(self.tokens_) end
    return corpus[key]
  end,
  size = function(self) return self.documents end,
  narrow = function(self, first, last)
    local start, tokens = self.start + first, 0
    for k = tonumber(start[0]), tonumber(start[last - first]) - 1 do tokens = tokens + self.count[k] end
    self.start, self.documents_, self.tokens_ = start, last - first, tokens
    self.pairs_ = start[last - first] - start[0]
  end,
  describe = function(self)
    return ("%d documents x %d words, %d pairs, %d tokens"):format(self.documents, self.words, self.pairs, self.tokens)
  end,
})

local ratings = {}

--- The same ratings with users and items exchanged; shares the arrays.
function ratings:transpose()
  local view = self:slice(0)
  view.user, view.item = self.item, self.user
  view.users_, view.items_ = self.items_, self.users_
  return view
end

define("ratings", {
  methods = ratings,
  index = function(self, key)
    if key == "users" then return tonumber(self.users_) end
    if key == "items" then return tonumber(self.items_) end
    if key == "count" then return tonumber(self.count_) end
    return ratings[key]
  end,
  size = function(self) return self.count end,
  narrow = function(self, first, last)
    self.user, self.item, self.value = self.user + first, self.item + first, self.value + first
    self.count_ = last - first
  end,
  describe = function(self) return ("%d users x %d items, %d ratings"):format(self.users, self.items, self.count) end,
})

local edges = {}

--- The same edges the other way round; shares the arrays.
function edges:transpose()
  local view = self:slice(0)
  view.source, view.target = self.target, self.source
  return view
end

define("edges", {
  methods = edges,
  index = function(self, key)
    if key == "vertices" then return tonumber(self.vertices_) end
    if key == "count" then return tonumber(self.count_) end
    return edges[key]
  end,
  size = function(self) return self.count end,
  narrow = function(self, first, last)
    self.source, self.target, self.count_ = self.source + first, self.target + first, last - first
    if self.weight ~= nil then self.weight = self.weight + first end
  end,
  describe = function(self)
    return ("%d vertices, %d %sedges"):format(self.vertices, self.count, self.weight ~= nil and "weighted " or "")
  end,
})

object.wrap = wrap

--- "sparse", "dense", "corpus", "ratings" or "edges"; nil for anything else.
function object.kind(value)
  if type(value) ~= "cdata" then return nil end
  for kind, definition in pairs(kinds) do
    if ffi.istype(definition.new, value) then return kind end
  end
  return nil
end

--- Where a view is: a table of plain values, which another Lua state of this process turns into a view of its own with
-- `import`. The view must stay open until then.
function object.export(view)
  local kind = object.kind(view)
  if not kind then core.fail("data.export: expected a data set, got %s", type(view)) end
  if closed(view) then core.fail("data.export: this %s was closed", kind) end
  return { kind = kind, address = core.address(view.owner), view = ffi.string(view, ffi.sizeof(view)) }
end

--- A view of what `exported` (from `export`, maybe in another Lua state) describes.
function object.import(exported)
  local definition = type(exported) == "table" and kinds[exported.kind]
  if not definition then core.fail("data.import: expected what data.export returned") end
  local view = definition.new()
  ffi.copy(view, exported.view, ffi.sizeof(view))
  C.epact_retain(view.owner)
  return view
end

return object
