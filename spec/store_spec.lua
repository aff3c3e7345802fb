-- Models in files: what is written comes back, and nothing else is taken for a model. Models out of a job.
local epact = require "epact"
local store = require "epact.model.store"

local function contents(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local function message_of(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

describe("a model in a file", function()
  local path
  before_each(function() path = os.tmpname() end)
  after_each(function() os.remove(path) end)

  local function model()
    local weights = epact.data.new("dense", 2, 3)
    for i = 0, 5 do weights.value[i] = i / 3 end
    return { weights = weights, name = "a\0b", classes = { [0] = -1, 1 }, nested = { flag = true, huge = math.huge } }
  end

  it("comes back as it was", function()
    store.save(path, "linear", model())
    local back = store.load(path, "linear")
    assert.same({ 2, 3 }, { back.weights.rows, back.weights.cols })
    for i = 0, 5 do assert.equal(i / 3, back.weights.value[i]) end
    back.weights = nil
    assert.same({ name = "a\0b", classes = { [0] = -1, 1 }, nested = { flag = true, huge = math.huge } }, back)
  end)

  it("of another kind is refused", function()
    store.save(path, "linear", {})
    assert.matches("network%.load: .* is a model of kind 'linear' %[E_PARSE%]", message_of(store.load, path, "network"))
  end)

  it("that is missing is refused", function()
    assert.matches("linear%.load: cannot read .*%.none: .*No such file.* %[E_IO%]",
      message_of(store.load, path .. ".none", "linear"))
    assert.matches("linear%.load: cannot read .* %[E_IO%]", message_of(store.load, "spec", "linear"))
  end)

  it("that was cut or flipped anywhere is refused", function()
    store.save(path, "linear", model())
    local whole = contents(path)
    for length = 0, #whole - 1 do
      write(path, whole:sub(1, length))
      assert.matches("linear%.load: .*%[E_PARSE%]", message_of(store.load, path, "linear"))
    end
    for at = 1, #whole do
      write(path, whole:sub(1, at - 1) .. string.char(bit.bxor(whole:byte(at), 4)) .. whole:sub(at + 1))
      assert.matches("linear%.load: .*%[E_PARSE%]", message_of(store.load, path, "linear"))
    end
    write(path, whole)
    assert.equal("a\0b", store.load(path, "linear").name)
  end)

  it("that cannot be written leaves the old one", function()
    store.save(path, "linear", { step = 1 })
    local inside = {}
    inside.inside = inside
    assert.matches("store%.save: linear%.inside is a table that is in itself",
      message_of(store.save, path, "linear", inside))
    assert.matches("store%.save: linear%.f is a function", message_of(store.save, path, "linear", { f = print }))
    assert.matches("E_DISK", message_of(store.save, path .. "/none/model", "linear", {}))
    assert.equal(1, store.load(path, "linear").step)
  end)
end)

describe("an object whose class is a member of a module", function()
  it("goes into a job and out of it, with its methods and data", function()
    local apple = require "support.apple"
    local one = setmetatable({ pieces = 2, data = epact.data.new("dense", 1, 1) }, apple.Apple)
    one.data.value[0] = 21
    local pair = epact.run({ workers = 1 }, function()
      return { one, setmetatable({ pieces = one:weigh(), data = one.data }, getmetatable(one)) }
    end)
    assert.equal("apple <42 g>", tostring(pair[1]))
    assert.equal(42 * 21, pair[2]:weigh())
    assert.equal(apple.Apple, getmetatable(pair[2]))
  end)
end)
