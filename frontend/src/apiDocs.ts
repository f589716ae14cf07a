// The API's description, to read and to try: /docs. A page of its own, so that the reading page does
// not carry it.
import "swagger-ui-dist/swagger-ui.css";
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";

SwaggerUI({
  url: "/openapi.json",
  domNode: document.getElementById("api"),
  deepLinking: true,
  // Nothing is fetched from elsewhere: Swagger's own validator would be.
  validatorUrl: null,
  persistAuthorization: false,
});
