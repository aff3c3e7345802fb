--- A module with a class, for specs of objects that travel.
local apple = {}

local methods = {}
function methods:weigh() return self.pieces * self.data.value[0] end

apple.Apple = { __index = methods, __tostring = function(self) return ("apple <%g g>"):format(self:weigh()) end }

return apple
