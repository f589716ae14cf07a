declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  interface Options {
    readonly url: string;
    readonly domNode: HTMLElement | null;
    readonly deepLinking: boolean;
    readonly validatorUrl: null;
    readonly persistAuthorization: boolean;
  }
  export default function SwaggerUI(options: Options): unknown;
}
